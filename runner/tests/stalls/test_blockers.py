"""Between two tries: who is waited for, and whom the operator lets the run send away."""

from datetime import datetime, timedelta

import psycopg
import pytest
from harness.command import PATIENT, CommandLine
from harness.postgres import Connection, Database
from harness.project import Project
from sage_migrate.lock_waits import Lock
from sage_migrate.retry import lock_not_obtained

from stalls.competitor import Competitor

WATCHING = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sage-migrate watch'"


@pytest.fixture
def project(project: Project, accounts: Database) -> Project:
    """Make a project whose one revision needs a lock on the table."""
    project.add("a1", "ALTER TABLE accounts ADD x int")
    return project


def is_open(connection: Connection) -> bool:
    """Tell whether a session still exists."""
    try:
        connection.execute(b"SELECT 1")
    except psycopg.Error:
        return False
    return True


def test_one_look_a_moment_and_no_try(project: Project, accounts: Database, gate: CommandLine) -> None:
    """While a reader stays, nobody meets the migration in a queue, and the run asks for nothing but whether it is gone."""
    reader = accounts.reader("accounts")
    run = gate.start(project, "upgrade", *PATIENT)
    run.until("lock_try_failed")
    accounts.until(f"EXISTS (SELECT {WATCHING} AND query LIKE '%virtualtransaction IN%')")
    app = accounts.connect("webapp", lock_timeout="1ms")
    asked = set()
    for _ in range(200):
        app.execute(b"SELECT * FROM accounts")
        asked.add(accounts.value(f"SELECT query {WATCHING}"))
    reader.rollback()
    outcome = run.wait().expect(0)
    assert len(asked) == 1, asked
    assert outcome.one("revision_applied")["tries"] == 2


def test_somebody_who_waits_before_us(project: Project, accounts: Database, gate: CommandLine) -> None:
    """A session that itself waits for the table is in the way as well, and is waited for and named."""
    project.add("b2", "CREATE INDEX accounts_name ON accounts (name)")
    gate.run(project, "upgrade", "a1").expect(0)
    reader = accounts.reader("accounts")
    operator = accounts.connect("operator")
    truncating = Competitor(operator, "TRUNCATE accounts")
    accounts.until_waiting()
    run = gate.start(project, "upgrade", *PATIENT)
    (blocker,) = run.until("lock_try_failed")["blockers"]
    assert (blocker["pid"], blocker["application_name"], blocker["mode"]) == (
        operator.info.backend_pid,
        "operator",
        "AccessExclusiveLock",
    )
    reader.rollback()
    truncating.seconds()
    assert run.wait().expect(0).one("revision_applied")["tries"] == 2


def test_nobody_is_ended_by_default(project: Project, accounts: Database, gate: CommandLine) -> None:
    """An idle transaction is waited for until the deadline."""
    idle = accounts.reader("accounts")
    outcome = gate.run(project, "upgrade", "--deadline", "3s").expect(31)
    assert outcome.named("blocker_terminated") == []
    assert is_open(idle)


def test_an_idle_transaction_that_is_old_enough(project: Project, accounts: Database, gate: CommandLine) -> None:
    """It may still be young when it is met, and is ended when it is old enough, not before."""
    idle = accounts.reader("accounts", "forgotten")
    began = accounts.value(f"SELECT xact_start FROM pg_stat_activity WHERE pid = {idle.info.backend_pid}")
    outcome = gate.run(project, "upgrade", "--terminate-idle-after", "3s").expect(0)
    ended = outcome.one("blocker_terminated")
    assert (ended["pid"], ended["application_name"], ended["relation"]) == (
        idle.info.backend_pid,
        "forgotten",
        "accounts",
    )
    assert datetime.fromisoformat(ended["timestamp"]) - began > timedelta(seconds=3)
    assert not is_open(idle)


def test_an_idle_transaction_of_an_application_by_name(project: Project, accounts: Database, gate: CommandLine) -> None:
    """Only the named applications lose their sessions; the others are waited for."""
    forgotten, kept = accounts.reader("accounts", "forgotten"), accounts.reader("accounts", "o'reilly")
    run = gate.start(project, "upgrade", "--terminate-idle-applications", "other, forgotten")
    assert run.until("blocker_terminated")["pid"] == forgotten.info.backend_pid
    assert is_open(kept)
    kept.rollback()
    assert len(run.wait().expect(0).named("blocker_terminated")) == 1
    assert not is_open(forgotten)


def test_both_conditions_count(project: Project, accounts: Database, gate: CommandLine) -> None:
    """A named application whose transaction is young is let be."""
    young = accounts.reader("accounts", "forgotten")
    arguments = ("--terminate-idle-applications", "forgotten", "--terminate-idle-after", "10min")
    outcome = gate.run(project, "upgrade", *arguments, "--deadline", "3s").expect(31)
    assert outcome.named("blocker_terminated") == []
    assert is_open(young)


def test_a_session_at_work_is_never_ended(project: Project, accounts: Database, gate: CommandLine) -> None:
    """Only who idles in a transaction may be sent away, whatever its name."""
    reader = accounts.reader("accounts", "report")
    working = Competitor(reader, "SELECT pg_sleep(100)")
    accounts.until_running("SELECT pg_sleep(100)")
    outcome = gate.run(project, "upgrade", "--terminate-idle-applications", "report", "--deadline", "2s").expect(31)
    assert outcome.named("blocker_terminated") == []
    reader.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        working.seconds()


def test_a_role_that_may_not_end_sessions(project: Project, accounts: Database, gate: CommandLine) -> None:
    """One warning names the GRANT, and the session is waited for."""
    role = f"plain_{accounts.name}"
    accounts.execute(
        f"CREATE ROLE {role} LOGIN IN ROLE pg_read_all_stats; GRANT CREATE ON SCHEMA public TO {role};"
        f" ALTER TABLE accounts OWNER TO {role}"
    )
    idle = accounts.reader("accounts")
    run = gate.start(project, "upgrade", "--terminate-idle-applications", "reporting", url=accounts.url(user=role))
    refused = run.until("blocker_not_terminated")
    idle.rollback()
    assert len(run.wait().expect(0).named("blocker_not_terminated")) == 1
    assert refused["remedy"] == "GRANT pg_signal_backend to the migrating role"
    assert is_open(idle)
    accounts.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_the_holders_are_named_as_far_as_they_are_known() -> None:
    """By name where there is one; who only waits before us is none of them."""
    locks = [
        Lock(
            pid=pid,
            virtualtransaction=f"{pid}/1",
            mode="AccessShareLock",
            granted=granted,
            locktype="relation",
            target="relation/1/2",
            relation="accounts",
            waited_seconds=0,
            waitstart=float("inf"),
        )
        for pid, granted in ((8, True), (7, True), (0, True), (9, False))
    ]
    described: list[dict[str, object]] = [
        {"pid": 7, "application_name": "report"},
        {"pid": 8, "application_name": None},
    ]
    error = lock_not_obtained("a1", "LOCK TABLE accounts", locks, described, sqlstate="55P03", tries=2)
    assert error.what == (
        "Revision a1 did not get its lock on accounts in 2 tries before the deadline (SQLSTATE 55P03; report with pid 7, pid 8, "
        "a prepared transaction held it) in: LOCK TABLE accounts."
    )
