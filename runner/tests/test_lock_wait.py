"""Locks that others hold: short tries, a patient wait between them, and who was in the way."""

from pathlib import Path

import psycopg
import pytest
from harness import env_files
from harness.command import PATIENT, CommandLine
from harness.env_files import STYLES, Style
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.advisory_lock import LOCK_KEY

ADD_COLUMN = "ALTER TABLE accounts ADD note text DEFAULT 'secret'"


@pytest.fixture
def project(project: Project, database: Database) -> Project:
    """Make a project whose one revision needs a lock on a table that exists."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", ADD_COLUMN)
    return project


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_applied_when_the_reader_has_left(
    style: Style, project: Project, database: Database, gate: CommandLine
) -> None:
    """A long reader costs one short try and a wait; the revision follows when it is gone."""
    project.write("migrations/env.py", style.env)
    reader = database.reader("accounts")
    run = gate.start(project, "upgrade", *PATIENT, url=database.url(style.driver))
    failed_try = run.until("lock_try_failed")
    reader.rollback()
    outcome = run.wait().expect(0)
    (blocker,) = failed_try["blockers"]
    assert blocker.pop("transaction_age_seconds") >= 0
    assert blocker == {
        "pid": reader.info.backend_pid,
        "relation": "accounts",
        "mode": "AccessShareLock",
        "application_name": "reporting",
        "role": "postgres",
        "state": "idle in transaction",
        "query": "SELECT count(*) FROM accounts WHERE ? <> ?",
    }
    assert failed_try["statement"] == "ALTER TABLE accounts ADD note text DEFAULT ?"
    assert failed_try["sqlstate"] == "55P03"
    assert outcome.one("revision_applied")["tries"] == 2


def test_no_try_while_the_reader_stays(project: Project, database: Database, gate: CommandLine) -> None:
    """Between tries only looks: nobody queues behind a migration that cannot get its lock."""
    reader = database.reader("accounts")
    run = gate.start(project, "upgrade", *PATIENT)
    awaited = run.until("lock_awaited", tries=1)
    assert awaited["blockers"][0]["pid"] == reader.info.backend_pid
    assert awaited["waited_seconds"] >= 5
    reader.rollback()
    assert len(run.wait().expect(0).named("lock_try_failed")) == 1


def test_the_deadline_ends_the_wait(project: Project, database: Database, gate: CommandLine, machine: Machine) -> None:
    """A reader that never leaves ends in the status of a lock not obtained, with the holder named."""
    reader = database.reader("accounts")
    outcome = gate.run(project, "upgrade", *PATIENT, "--deadline", "4s").expect(31)
    assert outcome.message == (
        "Revision a1 did not get its lock on accounts in 1 try before the deadline "
        f"(SQLSTATE 55P03; reporting with pid {reader.info.backend_pid} held it) in: ALTER TABLE accounts ADD note text DEFAULT ?. "
        "Nothing was applied by this run. a1 was rolled back whole. "
        "End the transaction that holds it (the lock_try_failed events name it), or run it again when it is gone; "
        "--deadline (Helm: migration.deadline) lengthens the patience."
    )
    assert outcome.failed["retryable"] is True
    assert outcome.failed["application_names"] == ["reporting"]
    assert outcome.seconds < machine.allow(9)
    assert database.version() == []


def test_literals_are_shown_when_asked_for(project: Project, database: Database, gate: CommandLine) -> None:
    """`--show-literals` keeps the values."""
    reader = database.reader("accounts")
    run = gate.start(project, "upgrade", *PATIENT, "--show-literals")
    failed_try = run.until("lock_try_failed")
    reader.rollback()
    run.wait().expect(0)
    assert failed_try["blockers"][0]["query"] == "SELECT count(*) FROM accounts WHERE 'secret' <> 'x'"
    assert failed_try["statement"] == ADD_COLUMN


def test_a_prepared_transaction_in_the_way(project: Project, database: Database, gate: CommandLine) -> None:
    """A prepared transaction has no session, and is waited for and named all the same."""
    database.execute("BEGIN; SELECT * FROM accounts; PREPARE TRANSACTION 'left over'")
    run = gate.start(project, "upgrade", *PATIENT)
    (blocker,) = run.until("lock_try_failed")["blockers"]
    assert (blocker["pid"], blocker["application_name"]) == (0, "prepared transaction")
    database.execute("ROLLBACK PREPARED 'left over'")
    run.wait().expect(0)


def test_blockers_are_found_without_rights(project: Project, database: Database, gate: CommandLine) -> None:
    """A plain role, which may not see the state of others, still waits for the right session and names its pid."""
    role = f"plain_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; ALTER TABLE accounts OWNER TO {role}"
    )
    reader = database.reader("accounts")
    run = gate.start(project, "upgrade", *PATIENT, url=database.url(user=role))
    (blocker,) = run.until("lock_try_failed")["blockers"]
    reader.rollback()
    run.wait().expect(0)
    assert (blocker["pid"], blocker["state"]) == (reader.info.backend_pid, None)
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize("victim", ["migration", "bystander"])
def test_a_deadlock_is_retried(victim: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Whoever PostgreSQL chooses, the migration is applied in the end."""
    database.execute("CREATE TABLE orders (id int)")
    project.add("b2", "op.execute('LOCK TABLE accounts'); op.execute('LOCK TABLE orders')")
    other = database.connect("bystander", autocommit=False)
    theirs, ours = ("20s", "1s") if victim == "migration" else ("10ms", "20s")
    other.execute(f"SET deadlock_timeout = '{theirs}'".encode())
    patience = f"connect_args={{'options': '-c deadlock_timeout={ours}'}}, prefix"
    project.write("migrations/env.py", env_files.SYNC.replace("prefix", patience))
    other.execute(b"LOCK TABLE orders")
    run = gate.start(project, "upgrade", "--lock-timeout", "5s", "--stall-budget", "8s")
    run.until("revision_started", revision="b2")
    database.until_waiting()
    if victim == "migration":
        other.execute(b"LOCK TABLE accounts IN ACCESS SHARE MODE")
        assert run.until("lock_try_failed")["sqlstate"] == "40P01"
    else:
        with pytest.raises(psycopg.errors.DeadlockDetected):
            other.execute(b"LOCK TABLE accounts IN ACCESS SHARE MODE")
    other.rollback()
    run.wait().expect(0)
    assert database.version() == ["b2"]


def test_a_lock_that_env_py_turned_into_an_error_of_its_own(
    tmp_path: Path, project: Project, database: Database, gate: CommandLine
) -> None:
    """A revision that wraps the driver's error is retried all the same: the SQLSTATE is in the chain."""
    project.add("b2", """
        try:
            op.execute("ALTER TABLE accounts ADD more int")
        except Exception as error:
            raise RuntimeError("migration failed") from error
        """)  # fmt: skip
    gate.run(project, "upgrade", "a1").expect(0)
    reader = database.reader("accounts")
    gate.start(project).wait_behind(reader, revision="b2").expect(0)


def test_another_runner_is_awaited(project: Project, database: Database, gate: CommandLine) -> None:
    """A second runner waits for the first, names it, and then finds nothing to do."""
    reader = database.reader("accounts")
    first = gate.start(project)
    first.until("lock_try_failed")
    second = gate.start(project)
    holder = second.until("runner_lock_awaited")["holder"]
    assert (holder["pid"], holder["application_name"]) == (
        first.until("runner_lock_taken")["pid"],
        "sage-migrate lock",
    )
    reader.rollback()
    assert first.wait().expect(0).applied == ["a1"]
    assert second.wait().expect(0).applied == []


def test_another_runner_that_never_ends(project: Project, database: Database, gate: CommandLine) -> None:
    """The deadline ends the wait for the runner's lock with a status of its own."""
    reader = database.reader("accounts")
    first = gate.start(project)
    first.until("lock_try_failed")
    outcome = gate.run(project, "upgrade", "--deadline", "3s").expect(30)
    assert outcome.message == (
        "Another runner held the migration lock until the deadline. Nothing was applied by this run. "
        "The runner_lock_awaited events name it. Run this again when it has ended; "
        "if it is dead, end its session (pg_terminate_backend)."
    )
    reader.rollback()
    first.wait().expect(0)


def test_another_runner_that_is_not_awaited(project: Project, database: Database, gate: CommandLine) -> None:
    """With `--if-locked fail` the lock's status comes at once."""
    database.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    outcome = gate.run(project, "upgrade", "--if-locked", "fail").expect(30)
    assert outcome.message == (
        f"Another runner holds the migration lock (pid {database.session.info.backend_pid}). "
        "Nothing was applied by this run. Run this again when it has ended; --if-locked wait waits for it."
    )
    database.execute("SELECT pg_advisory_unlock_all()")


def test_five_runners_at_once(project: Project, database: Database, gate: CommandLine) -> None:
    """All end well, and the revisions were applied once."""
    project.add("b2", "CREATE TABLE once (id int)")
    runs = [gate.start(project) for _ in range(5)]
    outcomes = [run.wait().expect(0) for run in runs]
    assert sorted(outcome.applied for outcome in outcomes) == [[], [], [], [], ["a1", "b2"]]


def test_a_killed_runner_leaves_nothing_behind(project: Project, database: Database, gate: CommandLine) -> None:
    """After SIGKILL the server drops statement and lock within a second or so, and the next run goes on."""
    project.add("b2", "SELECT pg_sleep(30)")
    run = gate.start(project)
    pid = database.until_running("%pg_sleep(30)%")
    run.kill()
    run.process.wait()
    database.until(f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")
    assert database.version() == ["a1"]
    project.add("b2", "SELECT 1", down="a1")
    assert gate.run(project).expect(0).applied == ["b2"]
