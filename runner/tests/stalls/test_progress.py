"""A long statement says how far it is."""

import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from harness.command import PATIENCE_SECONDS, CommandLine, Launcher
from harness.postgres import Database
from harness.project import Project
from harness.terminal import screen_of
from sage_migrate.progress import Progress, read_progress
from sage_migrate.progress_line import ProgressLine
from sage_migrate.session import AsyncpgSession, ControlThread

from stalls.competitor import Competitor
from stalls.until_told import WORK_UNTIL_TOLD, WORKING, tell


def test_an_index_on_a_large_table(project: Project, database: Database, gate: CommandLine) -> None:
    """An event every five seconds has the phase and the share that is done."""
    database.execute(
        "CREATE TABLE accounts (id int, filler text) WITH (fillfactor = 10);"
        " INSERT INTO accounts SELECT n, repeat('x', 500) FROM generate_series(1, 65) AS n;"
        " CREATE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.1); RETURN id; END'"
    )
    project.add("a1", "CREATE INDEX accounts_slow ON accounts (slow(id))")
    outcome = gate.run(project).expect(0)
    first = outcome.named("statement_progress")[0]
    assert first["statement"] == "CREATE INDEX accounts_slow ON accounts (slow(id))"
    assert first["phase"] == "building index: scanning table"
    assert (first["unit"], first["total"]) == ("blocks", 65)
    assert 0 < first["fraction"] <= 1
    assert first["elapsed_seconds"] > 4.9


def test_a_statement_of_which_postgresql_tells_nothing(project: Project, accounts: Database, gate: CommandLine) -> None:
    """The time that it has taken, and the longest wait that it caused, are told all the same."""
    project.add("a1", f"op.execute('LOCK TABLE accounts'); op.execute({WORK_UNTIL_TOLD!r})")
    run = gate.start(project, "upgrade", "--stall-budget", "50s", "--lock-timeout", "50ms")
    accounts.until_running(WORKING)
    app = Competitor(accounts.connect("webapp"), "SELECT * FROM accounts")
    progress = run.until("statement_progress")
    tell(accounts)
    run.wait().expect(0)
    assert (progress["statement"][:4], "phase" in progress) == ("DO ?", False)
    assert 1 < progress["longest_stall_seconds"] <= progress["elapsed_seconds"]
    assert app.seconds() > progress["longest_stall_seconds"]


@pytest.fixture
def wide(database: Database) -> Database:
    """Return a database with a table of one row a page, and an index on it that takes long to build anew."""
    database.execute(
        "CREATE TABLE wide (id int PRIMARY KEY, filler text) WITH (fillfactor = 10);"
        " INSERT INTO wide SELECT n, repeat('x', 500) FROM generate_series(1, 80) AS n;"
        " CREATE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT id';"
        " CREATE INDEX wide_slow ON wide (slow(id)); CREATE OR REPLACE FUNCTION slow(id int) RETURNS int IMMUTABLE"
        " LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN id; END'"
    )
    return database


@pytest.mark.parametrize(
    ("statement", "phase", "unit"),
    [
        ("REINDEX INDEX wide_slow", "building index: scanning table", "blocks"),
        ("VACUUM FULL wide", "rebuilding index", "blocks"),
        ("VACUUM (DISABLE_PAGE_SKIPPING) wide", "scanning heap", "blocks"),
        ("ANALYZE wide", "acquiring sample rows", "blocks"),
        ("COPY (SELECT slow(id) FROM wide) TO '/dev/null'", "FILE", "rows"),
    ],
)
def test_what_postgresql_tells(
    statement: str, phase: str, unit: str, wide: Database, look: Callable[[int], Progress | None]
) -> None:
    """Each command that has a view of its own; where the whole is not known, the rows so far."""
    at_work = wide.connect("migration")
    at_work.execute(b"SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; SET vacuum_cost_page_hit = 5")
    pid = at_work.info.backend_pid
    running = Competitor(at_work, statement)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look(pid)) is None or found.phase != phase or not found.done:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    assert (found.unit, found.total > 0, found.fraction is None) == (unit, unit != "rows", unit == "rows")
    wide.execute(f"SELECT pg_cancel_backend({pid})")
    with pytest.raises(psycopg.errors.QueryCanceled):
        running.seconds()


@pytest.fixture
def look(wide: Database) -> Iterator[Callable[[int], Progress | None]]:
    """Return how to look at the progress of a session."""
    with ControlThread() as control:
        session = AsyncpgSession(control.call(asyncpg.connect(wide.url())))
        yield lambda pid: control.call(read_progress(session, pid, 0))
        control.call(session.close())


def test_a_bar_on_a_terminal(
    project: Project, wide: Database, gate: CommandLine, launcher: Launcher, tmp_path: Path
) -> None:
    """A person sees a bar that grows, in a line of its own under the log, and no events of progress."""
    del gate  # which ends what a failed test left: here nothing is started by it
    project.add("a1", "REINDEX INDEX wide_slow")
    screen = screen_of(launcher, project, "upgrade", url=wide.url(), err=tmp_path / "err")
    drawn = re.findall(r"\[(#*)(-*)\] +(\d+)%  building index: scanning table, (\d+) of 80 blocks, \d+ s, ", screen)
    assert len(drawn) > 1, screen
    assert [len(done) + len(rest) for done, rest, *_ in drawn] == [24] * len(drawn)
    assert 0 < int(drawn[0][2]) <= int(drawn[-1][2])
    assert "longest wait for it 0.0 s: REINDEX INDEX wide_slow\r\r\x1b[K" in screen
    assert "statement_progress" not in screen
    lines = [line.rpartition("\x1b[K")[2] for line in screen.splitlines()]
    assert sum("revision_applied" in line for line in lines) == 1


def test_the_log_goes_above_the_bar() -> None:
    """A line of the log takes the bar's place, whole, and the bar follows under it; it is gone when there is none."""
    terminal = io.StringIO()
    line = ProgressLine(terminal)
    print("before", file=line)
    line.show("[###]")
    print("meanwhile", file=line)
    line.show("")
    print("after", file=line)
    assert terminal.getvalue() == "before\n[###]\r\r\x1b[Kmeanwhile\n[###]\r\r\x1b[Kafter\n"
