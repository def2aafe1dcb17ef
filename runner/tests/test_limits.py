"""What ends a migration that takes too long: for a statement, for the run, or for those who wait for it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from harness.command import PATIENCE_SECONDS, CommandLine
from harness.env_files import STYLES, Style
from harness.postgres import Connection, Database
from harness.project import Project
from sage_migrate.session import set_config_sql

HOLD = "op.execute('LOCK TABLE accounts'); op.execute(\"SELECT pg_sleep(30) -- 'secret'\")"
QUICK = ("--lock-timeout", "50ms", "--stall-budget", "300ms", "--statement-timeout", "20s")


@contextmanager
def waiting(connection: Connection, sql: str) -> Iterator[list[BaseException]]:
    """Run a statement that has to wait, in a thread; what it raised is in the list at the end."""
    raised: list[BaseException] = []

    def execute() -> None:
        try:
            connection.execute(sql.encode())
        except psycopg.Error as error:
            raised.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    try:
        yield raised
        thread.join(timeout=PATIENCE_SECONDS)
        assert not thread.is_alive(), f"still waiting: {sql}"
    finally:
        if thread.is_alive():
            connection.cancel()


def without_times(message: str) -> str:
    """Return a message with its measured times replaced."""
    return re.sub(r"\d+(\.\d+)? m?s\b", "TIME", message)


def test_limits_that_the_server_does_not_know_keep_no_other_from_being_set(database: Database) -> None:
    """That of a newer PostgreSQL is left out."""
    limits = {"lock_timeout": "1s", "no_such_timeout": "5s", "statement_timeout": "2s"}
    assert database.rows(set_config_sql(limits)) == [("1s",), ("2s",)]


@pytest.mark.parametrize("style", STYLES[1:3], ids=lambda style: style.name)
def test_a_statement_that_runs_too_long(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """statement_timeout ends the statement with a status of its own."""
    project.write("migrations/env.py", style.env)
    project.add("a1", "SELECT pg_sleep(30)")
    arguments = ("--lock-timeout", "50ms", "--stall-budget", "100ms", "--statement-timeout", "300ms")
    outcome = gate.run(project, "upgrade", *arguments, url=database.url(style.driver)).expect(33)
    assert outcome.message == (
        "Revision a1 ran one statement for longer than statement_timeout (300 ms; SQLSTATE 57014): SELECT pg_sleep(?). "
        "Nothing was applied by this run. a1 was rolled back whole. Make the step smaller (a backfill in batches, "
        "an index CONCURRENTLY), or lengthen --statement-timeout (Helm: migration.statementTimeout)."
    )
    assert database.version() == []


def test_a_timeout_of_the_revisions_own_wins(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision's SET is obeyed and logged, and the next revision has the run's limits again."""
    project.add("a1", "op.execute(\"SET statement_timeout = '10s'\"); op.execute('SELECT pg_sleep(0.5)')")
    project.add("b2", "CREATE TABLE seen AS SELECT current_setting('statement_timeout') AS own")
    arguments = ("--lock-timeout", "50ms", "--stall-budget", "100ms", "--statement-timeout", "300ms")
    outcome = gate.run(project, "upgrade", *arguments).expect(0)
    assert outcome.one("timeout_set_by_revision")["setting"] == "statement_timeout"
    assert database.value("SELECT own FROM seen") == "300ms"


def test_a_shorter_timeout_of_the_revisions_own(project: Project, gate: CommandLine) -> None:
    """It is a statement timeout, although the run's own is far away."""
    project.add("a1", "op.execute(\"SET LOCAL statement_timeout = '200ms'\"); op.execute('SELECT pg_sleep(30)')")
    outcome = gate.run(project).expect(33)
    assert outcome.message.startswith(
        "Revision a1 ran one statement for longer than statement_timeout (200 ms; SQLSTATE 57014): SELECT pg_sleep(?). "
    )


@pytest.mark.parametrize("style", STYLES[1:3], ids=lambda style: style.name)
def test_a_run_that_takes_too_long(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """The deadline cancels the statement at work; what is applied stays."""
    project.write("migrations/env.py", style.env)
    project.add("a1")
    project.add("b2", "op.execute('SELECT pg_sleep(3.1)'); op.execute('SELECT pg_sleep(3.2)')")
    outcome = gate.run(project, "upgrade", "--deadline", "5s", url=database.url(style.driver)).expect(34)
    assert outcome.message == (
        "The run did not end within its deadline of 5 s. Applied by this run, and staying so: a1. b2 was rolled back whole. "
        "See in the events above what it spent its time on; lengthen --deadline (Helm: migration.deadline, with helm's own "
        "--timeout above it) if that is how long it takes."
    )
    assert outcome.seconds < 10
    assert database.version() == ["a1"]


@pytest.mark.parametrize("style", STYLES[1:3], ids=lambda style: style.name)
def test_somebody_who_waits_longer_than_the_stall_budget(
    style: Style, project: Project, database: Database, gate: CommandLine
) -> None:
    """A lock that is held too long is given up, with the evidence; the application goes on unharmed."""
    database.execute("CREATE TABLE accounts (id int)")
    project.write("migrations/env.py", style.env)
    project.add("a1", HOLD)
    app = database.connect("webapp")
    run = gate.start(project, "upgrade", *QUICK, url=database.url(style.driver))
    database.until_running("%pg_sleep(30)%")
    with waiting(app, "INSERT INTO accounts VALUES (1)") as raised:
        outcome = run.wait().expect(32)
    assert raised == []
    assert without_times(outcome.message) == (
        "1 session of webapp waited for the migration, the longest TIME; the stall budget is TIME. "
        "The migration held AccessExclusiveLock on accounts while it ran: SELECT pg_sleep(?). "
        "Nothing was applied by this run. a1 was rolled back whole. "
        "Split the revision so that no long step runs under that lock: a NOT VALID constraint and VALIDATE in the next revision, "
        "an index CONCURRENTLY, a backfill in batches. In a maintenance window, declare in the revision's file "
        'sage_migrate = {"stall_budget": "30s", "reason": "…"}.'
    )
    evidence = outcome.one("stall_budget_exceeded")
    assert 0.3 <= evidence["longest_wait_seconds"] < 1
    assert evidence["lock_mode"] == "AccessExclusiveLock"
    assert outcome.failed["revision"] == "a1"
    assert database.version() == []


def test_nobody_waits_nobody_is_stopped(project: Project, database: Database, gate: CommandLine) -> None:
    """A long statement that keeps nobody waiting is let be."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", HOLD.replace("30", "1"))
    gate.run(project, "upgrade", *QUICK).expect(0)
