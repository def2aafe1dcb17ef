"""What ``--report`` records of real runs on a real server, with real sessions that wait or are in the way."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.command import PATIENT, CommandLine, Outcome
from harness.env_files import STYLES, Style
from harness.postgres import Database
from harness.project import Project
from stalls.competitor import Competitor

HELD = (
    "EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock' AND granted)"
)
# Hold the lock until somebody waits for it, and a while longer.
HOLD_UNTIL_WAITED_FOR = """
op.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND NOT granted)"
while not op.get_bind().exec_driver_sql(waiting).scalar():
    pass
op.execute("SELECT pg_sleep(0.3)")
"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Name a file."""
    return tmp_path / "run.json"


@pytest.fixture
def project(project: Project, database: Database) -> Project:
    """Make a project whose tables exist."""
    database.execute("CREATE TABLE accounts (id int PRIMARY KEY, name text); CREATE TABLE events (id int)")
    return project


def read(report: Path) -> dict[str, Any]:
    """Return the report."""
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def locks_of(revision: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the locks of a revision: statement, relation, mode."""
    return [
        (statement["sql"], lock["relation"], lock["mode"])
        for statement in revision["statements"]
        for lock in statement["locks"]
    ]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: f"{style}")
def test_statements_and_their_locks(
    style: Style, project: Project, database: Database, gate: CommandLine, report: Path
) -> None:
    """Each statement stands with the locks that it took first, held until its transaction ended."""
    project.write("migrations/env.py", style.env)
    project.add("a1", "CREATE TABLE created (id int)")
    project.add(
        "b2",
        """
        op.execute("ALTER TABLE accounts ADD note text DEFAULT 'secret'")
        op.execute("SELECT pg_sleep(0.2)")
        op.execute("ALTER TABLE events ADD account int REFERENCES created_before")
        """.replace("created_before", "accounts"),
    )
    gate.run(project, "upgrade", "--report", str(report), url=database.url(style.driver)).expect(0)
    document = read(report)
    first, second = document["revisions"]
    assert (first["revision"], first["result"], locks_of(first)) == ("a1", "applied", [])
    assert second["path"] == "migrations/versions/b2.py"
    found = locks_of(second)
    assert ("ALTER TABLE accounts ADD note text DEFAULT ?", "accounts", "AccessExclusiveLock") in found
    assert ("ALTER TABLE events ADD account int REFERENCES accounts", "events", "AccessExclusiveLock") in found
    assert not [lock for lock in found if lock[1].startswith(("pg_", "alembic_version"))]
    (lock,) = (each for each in second["statements"][0]["locks"] if each["relation"] == "accounts")
    assert lock["taken_seconds"] == second["statements"][0]["started_seconds"]
    assert 0.2 <= lock["held_seconds"] <= second["duration_seconds"]
    assert second["statements"][1]["duration_seconds"] >= 0.2
    assert document["failure"] is None
    assert document["target"] == ["b2"]


def test_who_waited_for_the_migration(project: Project, database: Database, gate: CommandLine, report: Path) -> None:
    """A session that waits is in the report: where, how long, who, behind which lock, since which statement."""
    project.add("a1", HOLD_UNTIL_WAITED_FOR)
    run = gate.start(project, "upgrade", "--report", str(report))
    database.until(HELD)
    app = Competitor(database.connect("webapp"), "SELECT count(*) FROM accounts")
    run.wait().expect(0)
    waited = app.seconds()
    document = read(report)
    (stall,) = document["revisions"][0]["stalls"]
    assert {name: stall[name] for name in ("relation", "sessions", "application_names", "mode", "queued")} == {
        "relation": "accounts",
        "sessions": 1,
        "application_names": ["webapp"],
        "mode": "AccessExclusiveLock",
        "queued": False,
    }
    assert 0.3 <= stall["longest_wait_seconds"] <= waited + 0.05
    assert document["sessions_held_up"] == 1
    assert document["summary"].startswith("Applied 1 revision in ")
    assert "it held up 1 session (webapp), the longest wait was " in document["summary"]


def test_who_waited_for_a_row(project: Project, database: Database, gate: CommandLine, report: Path) -> None:
    """A wait for a row is told with the row's table."""
    database.execute("INSERT INTO accounts VALUES (1, 'a')")
    project.add(
        "a1",
        HOLD_UNTIL_WAITED_FOR.replace("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE", "UPDATE accounts SET name = 'b'")
        .replace("relation = 'accounts'::regclass AND NOT granted", "locktype = 'transactionid' AND NOT granted")
    )  # fmt: skip
    run = gate.start(project, "upgrade", "--report", str(report))
    database.until("EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'RowExclusiveLock')")
    app = Competitor(database.connect("webapp"), "UPDATE accounts SET name = 'c'")
    run.wait().expect(0)
    app.seconds()
    (stall,) = read(report)["revisions"][0]["stalls"]
    assert (stall["relation"], stall["sessions"], stall["queued"]) == ("accounts", 1, False)


def test_a_lock_that_was_not_to_be_had(project: Project, database: Database, gate: CommandLine, report: Path) -> None:
    """A failed try stands with who was in its way, how long the run stood aside, and what Alembic did meanwhile does not."""
    project.add("a1", "ALTER TABLE accounts ADD note text")
    reader = database.reader("accounts")
    gate.start(project, "upgrade", "--report", str(report), *PATIENT).wait_behind(reader).expect(0)
    (revision,) = read(report)["revisions"]
    (failed,) = revision["failed_tries"]
    (blocker,) = failed["blockers"]
    assert (blocker["pid"], blocker["application_name"], blocker["relation"], blocker["mode"]) == (
        reader.info.backend_pid,
        "reporting",
        "accounts",
        "AccessShareLock",
    )
    assert blocker["query"] == "SELECT count(*) FROM accounts WHERE ? <> ?"
    assert failed["sqlstate"] == "55P03"
    assert failed["paused_seconds"] > 0
    assert revision["tries"] == 2
    assert [(each["attempt"], each["sql"], each["result"]) for each in revision["statements"][:2]] == [
        (1, "ALTER TABLE accounts ADD note text", "lock_not_obtained"),
        (2, "ALTER TABLE accounts ADD note text", "done"),
    ]


def test_a_run_that_the_guard_stopped(project: Project, database: Database, gate: CommandLine, report: Path) -> None:
    """The statement that was cancelled stands with the locks that it held: they were read while it ran."""
    project.add("a1", "CREATE TABLE kept (id int)")
    project.add("b2", "DO $$ BEGIN LOCK TABLE accounts; PERFORM pg_sleep(30); END $$")
    run = gate.start(project, "upgrade", "--report", str(report), "--stall-budget", "600ms")
    database.until(HELD)
    app = Competitor(database.connect("webapp"), "SELECT count(*) FROM accounts")
    run.wait().expect(32)
    app.seconds()
    document = read(report)
    kept, stopped = document["revisions"]
    assert (kept["result"], stopped["result"]) == ("applied", "rolled back")
    assert stopped["statements"][-1]["result"] == "cancelled"
    assert [lock[1:] for lock in locks_of(stopped)] == [("accounts", "AccessExclusiveLock")]
    assert document["failure"]["exit_status"] == 32
    assert document["failure"]["effect"] == "Applied by this run, and staying so: a1. b2 was rolled back whole."
    assert document["pending"] == ["b2"]
    assert stopped["stalls"][0]["longest_wait_seconds"] >= 0.6


def test_a_revision_that_failed(project: Project, gate: CommandLine, report: Path) -> None:
    """What ran before the failure is told, and the statement that failed."""
    project.add("a1", "op.execute('ALTER TABLE accounts ADD note text'); op.execute('SELECT missing FROM accounts')")
    gate.run(project, "upgrade", "--report", str(report)).expect(40)
    (revision,) = read(report)["revisions"]
    assert [each["result"] for each in revision["statements"]] == ["done", "failed"]
    assert revision["result"] == "rolled back"


def test_a_run_that_was_interrupted(project: Project, database: Database, gate: CommandLine, report: Path) -> None:
    """A signal ends the run, not its report."""
    project.add("a1", "SELECT pg_sleep(30)")
    run = gate.start(project, "upgrade", "--report", str(report))
    database.until_running("%pg_sleep(30)%")
    run.send(signal.SIGTERM)
    run.wait().expect(143)
    document = read(report)
    assert document["revisions"][0]["statements"][-1]["result"] == "cancelled"
    assert document["summary"].startswith("Stopped in revision a1 after ")


def test_a_run_that_never_reached_the_database(project: Project, gate: CommandLine, report: Path) -> None:
    """A run that failed before its first revision has a report too."""
    project.add("a1", "SELECT 1")
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    gate.run(project, "upgrade", "--report", str(report), "--wait-timeout", "300ms", url=url).expect(10)
    document = read(report)
    assert document["revisions"] == []
    assert document["summary"].startswith("Failed before any revision was begun after ")


def test_what_is_dropped_and_what_is_released(project: Project, gate: CommandLine, report: Path) -> None:
    """A dropped table keeps its name in the report; a lock that a savepoint gave back is not held until the end."""
    project.add(
        "a1",
        """
        op.execute("DROP TABLE events")
        savepoint = op.get_bind().begin_nested()
        op.execute("LOCK TABLE accounts IN SHARE MODE")
        savepoint.rollback()
        op.execute("SELECT pg_sleep(0.3)")
        """,
    )
    gate.run(project, "upgrade", "--report", str(report)).expect(0)
    held = {
        (lock["relation"], lock["mode"]): lock["held_seconds"]
        for each in read(report)["revisions"][0]["statements"]
        for lock in each["locks"]
    }
    assert held["events", "AccessExclusiveLock"] >= 0.3
    assert held["accounts", "ShareLock"] < 0.3


def test_recording_changes_nothing(project: Project, gate: CommandLine, report: Path) -> None:
    """Locks are read from another session, so that a revision may still choose its isolation after a SET."""
    project.add("a1", "SELECT 1")
    project.add(
        "b2",
        """
        op.execute("SET LOCAL work_mem = '8MB'")
        op.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        op.execute("ALTER TABLE accounts ADD note text")
        """,
    )
    gate.run(project, "upgrade", "--report", str(report)).expect(0)
    assert ("accounts", "AccessExclusiveLock") in [lock[1:] for lock in locks_of(read(report)["revisions"][1])]


def test_a_loop_is_one_line(project: Project, gate: CommandLine, report: Path) -> None:
    """The same text again and again is one statement with its count, and its lock is found all the same."""
    project.add("a1", "for number in range(500):\n    op.execute(f'UPDATE accounts SET id = {number}')")
    gate.run(project, "upgrade", "--report", str(report)).expect(0)
    (update, *_) = read(report)["revisions"][0]["statements"]
    assert (update["sql"], update["executions"]) == ("UPDATE accounts SET id = ?", 500)
    assert [lock["mode"] for lock in update["locks"] if lock["relation"] == "accounts"] == ["RowExclusiveLock"]


def test_literals_stay_when_asked_for(project: Project, gate: CommandLine, report: Path) -> None:
    """``--show-literals`` holds for the report as for the log."""
    project.add("a1", "ALTER TABLE accounts ADD note text DEFAULT 'secret'")
    gate.run(project, "upgrade", "--report", str(report), "--show-literals").expect(0)
    assert read(report)["revisions"][0]["statements"][0]["sql"] == "ALTER TABLE accounts ADD note text DEFAULT 'secret'"


def test_a_declaration_is_told(project: Project, gate: CommandLine, report: Path) -> None:
    """A revision's own budget and phase stand with their reason."""
    head = 'sage_migrate = {"phase": "contract", "stall_budget": "3s", "reason": "shop closed"}'
    project.add("a1", "SELECT 1", head=head)
    gate.run(project, "upgrade", "--report", str(report)).expect(0)
    (revision,) = read(report)["revisions"]
    assert (revision["phase"], revision["stall_budget_seconds"], revision["reason"]) == ("contract", 3.0, "shop closed")


def test_several_files(project: Project, gate: CommandLine, tmp_path: Path) -> None:
    """Files are named by repeating and by comma; each gets the format of its ending."""
    project.add("a1", "SELECT 1")
    first, second, third = (tmp_path / name for name in ("a.json", "b.md", "c.html"))
    outcome = gate.run(project, "upgrade", "--report", f"{first},{second}", "--report", str(third)).expect(0)
    assert [event["path"] for event in outcome.named("report_written")] == [str(first), str(second), str(third)]
    assert read(first)["summary"].startswith("Applied 1 revision")
    assert second.read_text().startswith("# sage-migrate upgrade: done\n")
    assert third.read_text().startswith("<!DOCTYPE html>\n")


def test_the_variable(project: Project, gate: CommandLine, report: Path) -> None:
    """SAGE_MIGRATE_REPORT names the file where the command line cannot be changed."""
    gate.run(project, SAGE_MIGRATE_REPORT=str(report)).expect(0)
    assert read(report)["summary"] == "There was nothing to do: the database was at its target."


def test_an_unknown_format_is_refused(project: Project, database: Database, gate: CommandLine) -> None:
    """A file whose format its name does not tell is a mistake to say before anything runs."""
    project.add("a1", "SELECT 1")
    outcome = gate.run(project, "upgrade", "--report", "run.txt").expect(2)
    assert outcome.message == (
        "--report cannot be used: 'run.txt' ends in none of .json, .md, .html, which tell the report's format. "
        "Nothing was applied by this run."
    )
    assert database.version() == []


def test_a_file_that_cannot_be_written(project: Project, database: Database, gate: CommandLine, tmp_path: Path) -> None:
    """The run's result stands, and a warning says what to do."""
    project.add("a1", "SELECT 1")
    missing = tmp_path / "missing" / "run.html"
    written = tmp_path / "run.md"
    outcome = gate.run(project, "upgrade", "--report", f"{missing},{written}").expect(0)
    warning = outcome.one("report_not_written")
    assert (warning["level"], warning["path"], warning["reason"], warning["effect"]) == (
        "warning",
        str(missing),
        "No such file or directory",
        "the result of the run stands",
    )
    assert written.exists()
    assert database.version() == ["a1"]


def test_nothing_is_recorded_unasked(project: Project, gate: CommandLine) -> None:
    """Without the option there is no report, and no word of one."""
    project.add("a1", "SELECT 1")
    outcome: Outcome = gate.run(project, "upgrade").expect(0)
    assert not [event for event in outcome.events if event["event"].startswith("report")]
