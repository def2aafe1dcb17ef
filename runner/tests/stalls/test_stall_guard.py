"""The stall guard: whoever waits for the migration, by whatever kind of lock, waits no longer than the budget."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.database_url import parse_database_url
from sage_migrate.gate import Gate, LockedDatabase, MigrationBackend
from sage_migrate.interruption import Interruption
from sage_migrate.session import connect_by_url
from sage_migrate.settings import Settings

from stalls.competitor import Competitor
from stalls.until_told import WORK_UNTIL_TOLD, WORKING, tell

BUDGET = 0.4
MARGIN = 1.5
"""Seconds beside what the machine is seen to add; the bench measures the real figure, on a quiet one."""
ARGUMENTS = ("upgrade", "--lock-timeout", "50ms", "--stall-budget", "400ms", "--statement-timeout", "90s")
STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
HOLD = "op.execute('LOCK TABLE accounts'); op.execute('SELECT pg_sleep(100)')"
HOLD_UNTIL_TOLD = f"op.execute('LOCK TABLE accounts'); op.execute({WORK_UNTIL_TOLD!r})"
UPDATE = "op.execute('UPDATE accounts SET name = name'); op.execute('SELECT pg_sleep(100)')"
SLEEPING = "%pg_sleep(100)%"
LOCK_HELD = (
    "EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock' AND granted)"
)


@pytest.fixture
def database(accounts: Database) -> Database:
    """Return the database with the table."""
    return accounts


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_rewrite(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """A revision that rewrites a table is cancelled in time, with the evidence, and leaves nothing of itself."""
    database.execute(
        "CREATE FUNCTION slow() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1 FROM (SELECT pg_sleep(0.1)) AS nap'"
    )
    project.write("migrations/env.py", env)
    project.add("a1", "ALTER TABLE accounts ADD points int DEFAULT slow()")
    run = gate.start(project, *ARGUMENTS, url=database.url(driver))
    database.until(LOCK_HELD)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    outcome = run.wait().expect(32)
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    evidence = outcome.one("stall_budget_exceeded")
    assert 0.4 <= evidence.pop("longest_wait_seconds") < BUDGET + MARGIN
    assert {name: evidence[name] for name in evidence if name not in ("event", "level", "timestamp")} == {
        "statement": "ALTER TABLE accounts ADD points int DEFAULT slow()",
        "relation": "accounts",
        "relation_bytes": 16384,
        "relation_rows": 300,
        "lock_mode": "AccessExclusiveLock",
        "victims": 1,
        "application_names": ["webapp"],
    }
    assert outcome.failed["applied"] == []
    assert outcome.failed["retryable"] is False
    assert database.version() == []
    assert database.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'accounts'::regclass AND attnum > 2") == 0


def test_those_behind_another_waiter(project: Project, database: Database, gate: CommandLine, machine: Machine) -> None:
    """Who queues behind a third session, which waits for us, is a victim as well."""
    project.add("a1", "op.execute('LOCK TABLE accounts IN SHARE MODE'); op.execute('SELECT pg_sleep(100)')")
    run = gate.start(project, "upgrade", "--stall-budget", "1s", "--lock-timeout", "50ms")
    database.until_running(SLEEPING)
    operator = Competitor(database.connect("operator"), "TRUNCATE accounts")
    database.until_waiting()
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    database.until_waiting(count=2)
    evidence = run.wait().expect(32).one("stall_budget_exceeded")
    assert evidence["victims"] == 2
    assert evidence["application_names"] == ["operator", "webapp"]
    assert operator.seconds() < machine.allow(1 + MARGIN)
    assert app.seconds() < machine.allow(1 + MARGIN)


def test_those_who_wait_for_a_row(project: Project, database: Database, gate: CommandLine, machine: Machine) -> None:
    """A backfill that holds rows is cancelled too: the first waits for its transaction, the others for the first."""
    project.add("a1", UPDATE)
    run = gate.start(project, "upgrade", "--stall-budget", "1s", "--lock-timeout", "50ms")
    database.until_running(SLEEPING)
    apps = []
    for number in range(3):
        apps.append(Competitor(database.connect(f"webapp {number}"), "UPDATE accounts SET name = 'x' WHERE id = 7"))
        database.until_waiting(count=number + 1)
    outcome = run.wait().expect(32)
    assert [app.seconds() < machine.allow(1 + MARGIN) for app in apps] == [True] * 3
    evidence = outcome.one("stall_budget_exceeded")
    assert (evidence["victims"], evidence["relation"]) == (3, "accounts")
    assert evidence["application_names"] == ["webapp 0", "webapp 1", "webapp 2"]


def test_those_who_wait_for_a_key(project: Project, database: Database, gate: CommandLine, machine: Machine) -> None:
    """An INSERT of a key that the migration has inserted waits for its transaction."""
    project.add("a1", "op.execute(\"INSERT INTO accounts VALUES (301, 'x')\"); op.execute('SELECT pg_sleep(100)')")
    run = gate.start(project, *ARGUMENTS)
    database.until_running(SLEEPING)
    app = Competitor(database.connect("webapp"), "INSERT INTO accounts VALUES (301, 'y')")
    run.wait().expect(32)
    assert app.seconds() < machine.allow(BUDGET + MARGIN)


@pytest.mark.parametrize("work", ["pass", "time.sleep(0.5)"], ids=["busy", "asleep"])
def test_a_revision_that_computes(
    work: str, project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """Between statements there is nothing to cancel: the session is ended at once."""
    code = f"op.execute('LOCK TABLE accounts')\nimport time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: {work}"
    project.add("a1", f"{code}\nop.execute('SELECT 1')")
    run = gate.start(project, *ARGUMENTS)
    database.until(LOCK_HELD)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    assert run.wait().expect(32).named("migration_cancelled")[0]["function"] == "pg_terminate_backend"
    assert database.version() == []


def test_a_statement_that_ignores_a_cancel(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """Code that catches the cancel loses its session instead, some seconds later."""
    stubborn = (
        "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"
    )
    project.add("a1", f"op.execute('LOCK TABLE accounts'); op.execute({stubborn!r})")
    run = gate.start(project, *ARGUMENTS)
    database.until_running("DO%")
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    outcome = run.wait().expect(32)
    assert app.seconds() < machine.allow(BUDGET + 3 + MARGIN)
    functions = [event["function"] for event in outcome.named("migration_cancelled")]
    assert (functions[0], functions[-1]) == ("pg_cancel_backend", "pg_terminate_backend")


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_queue_is_left_and_joined_again(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """A revision without a lock_timeout queues for ever; the guard ends each try, and a later one succeeds."""
    project.write("migrations/env.py", env)
    project.add("a1", "op.execute('SET LOCAL lock_timeout = 0'); op.execute('ALTER TABLE accounts ADD x int')")
    reader = database.reader("accounts")
    run = gate.start(project, *ARGUMENTS, url=database.url(driver))
    database.until_waiting()
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    failed_try = run.until("lock_try_failed")
    reader.rollback()
    outcome = run.wait().expect(0)
    assert failed_try["blockers"][0]["pid"] == reader.info.backend_pid
    assert outcome.one("revision_applied")["tries"] == 2
    assert [event["setting"] for event in outcome.named("timeout_set_by_revision")] == ["lock_timeout"] * 2


def test_a_queue_behind_a_prepared_transaction(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """Victims of a queue behind a transaction that has no session are seen too."""
    database.execute("BEGIN; SELECT * FROM accounts; PREPARE TRANSACTION 'left over'")
    project.add("a1", "op.execute('SET LOCAL lock_timeout = 0'); op.execute('ALTER TABLE accounts ADD x int')")
    run = gate.start(project, *ARGUMENTS)
    database.until_waiting()
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    database.execute("ROLLBACK PREPARED 'left over'")
    run.wait().expect(0)


def test_an_error_after_a_cancelled_try_is_not_tried_again(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """Only the cancel itself is a lock that was not to be had; what the revision raises afterwards is its failure."""
    code = """
        op.execute("SET LOCAL lock_timeout = 0")
        op.execute("DO $$ BEGIN LOCK TABLE accounts; EXCEPTION WHEN query_canceled THEN NULL; END $$")
        op.execute("SELECT 1/0")
        """
    project.add("a1", code)
    reader = database.reader("accounts")
    run = gate.start(project, *ARGUMENTS)
    database.until_waiting()
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    outcome = run.wait().expect(40)
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    assert outcome.failed["sqlstate"] == "22012"
    assert outcome.named("lock_try_failed") == []
    reader.rollback()


def test_observe_only_reports(project: Project, database: Database, gate: CommandLine) -> None:
    """`--observe` says once what it would have cancelled, and lets it go on."""
    project.add("a1", HOLD_UNTIL_TOLD)
    run = gate.start(project, *ARGUMENTS, "--observe")
    database.until_running(WORKING)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    run.until("would_have_cancelled")
    database.until_waiting(seconds=3 * BUDGET)
    tell(database)
    outcome = run.wait().expect(0)
    assert app.seconds() > BUDGET
    assert outcome.one("would_have_cancelled")["reason"].startswith("1 session of webapp waited for the migration")
    assert outcome.named("migration_cancelled") == []
    assert database.version() == ["a1"]


def test_a_budget_that_the_revision_declares(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """It holds for this revision alone, and is logged with its reason."""
    declared = "sage_migrate = {'stall_budget': '20s', 'reason': 'the table is not used at night'}"
    project.add("a1", HOLD_UNTIL_TOLD, head=declared)
    project.add("b2", "op.execute('LOCK TABLE accounts IN EXCLUSIVE MODE')\nimport time; time.sleep(4)")
    run = gate.start(project, *ARGUMENTS)
    database.until_running(WORKING)
    app = database.connect("webapp")
    reading = Competitor(app, "SELECT * FROM accounts")
    database.until_waiting(seconds=3 * BUDGET)
    tell(database)
    assert reading.seconds() > BUDGET
    database.until(LOCK_HELD.replace("AccessExclusive", "Exclusive"))
    assert Competitor(app, "DELETE FROM accounts").seconds() < machine.allow(BUDGET + MARGIN)
    outcome = run.wait().expect(32)
    first, second = outcome.named("revision_started")
    assert (first["stall_budget_seconds"], first["reason"]) == (20, "the table is not used at night")
    assert "stall_budget_seconds" not in second
    assert outcome.applied == ["a1"]


def window(begin: timedelta, end: timedelta) -> str:
    """Return the declaration of a window that begins and ends at these distances from now."""
    now = datetime.now(UTC)
    span = f"{now + begin:%H:%M}-{now + end:%H:%M}"
    return f"sage_migrate = {{'maintenance_window': {span!r}, 'reason': 'nobody works then'}}"


def test_within_its_maintenance_window(project: Project, database: Database, gate: CommandLine) -> None:
    """In the window that it declares a revision may hold others up."""
    project.add("a1", HOLD_UNTIL_TOLD, head=window(timedelta(hours=-1), timedelta(hours=1)))
    run = gate.start(project, *ARGUMENTS)
    database.until_running(WORKING)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    database.until_waiting(seconds=3 * BUDGET)
    tell(database)
    outcome = run.wait().expect(0)
    assert app.seconds() > BUDGET
    assert outcome.one("revision_started")["reason"] == "nobody works then"


def test_outside_of_its_maintenance_window(project: Project, database: Database, gate: CommandLine) -> None:
    """At another time it is refused before it has begun; what comes before it is applied."""
    project.add("a1")
    project.add("b2", HOLD, head=window(timedelta(hours=2), timedelta(hours=3)))
    outcome = gate.run(project, *ARGUMENTS).expect(32)
    assert outcome.applied == ["a1"]
    assert outcome.message.endswith(
        "UTC; nobody works then). Applied by this run, and staying so: a1. Run this again in that window."
    )


def test_roles_without_rights(project: Project, database: Database, gate: CommandLine, machine: Machine) -> None:
    """Application and migration under two plain roles: the stall is found, and one warning names the missing GRANT."""
    owner, user = f"owner_{database.name}", f"user_{database.name}"
    database.execute(
        f"CREATE ROLE {owner} LOGIN; CREATE ROLE {user} LOGIN; GRANT CREATE ON SCHEMA public TO {owner};"
        f" ALTER TABLE accounts OWNER TO {owner}; GRANT ALL ON accounts TO {user}"
    )
    project.add("a1", HOLD)
    run = gate.start(project, *ARGUMENTS, url=database.url(user=owner))
    database.until_running(SLEEPING)
    app = Competitor(database.connect("webapp", user=user), "SELECT * FROM accounts")
    outcome = run.wait().expect(32)
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    assert outcome.one("stall_budget_exceeded")["application_names"] == ["webapp"]
    assert outcome.one("evidence_limited")["remedy"] == f'GRANT pg_read_all_stats TO "{owner}"'
    database.execute(f"DROP OWNED BY {owner}, {user} CASCADE; DROP ROLE {owner}, {user}")


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_role_that_is_set(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """A login role without rights of its own migrates as the owner, and still cancels itself in time."""
    owner, login = f"owner_{database.name}", f"login_{database.name}"
    database.execute(
        f"CREATE ROLE {owner}; CREATE ROLE {login} LOGIN NOINHERIT IN ROLE {owner}; GRANT CREATE ON SCHEMA public TO {owner};"
        f" ALTER TABLE accounts OWNER TO {owner}"
    )
    project.write("migrations/env.py", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    project.add("b2", HOLD)
    url = database.url(driver, user=login)
    gate.run(project, *ARGUMENTS, "a1", "--role", owner, url=url).expect(0)
    run = gate.start(project, *ARGUMENTS, "--role", owner, url=url)
    database.until_running(SLEEPING)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    run.wait().expect(32)
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    database.execute(f"DROP OWNED BY {owner}, {login} CASCADE; DROP ROLE {owner}, {login}")


def test_a_commit_under_way_is_never_cancelled(project: Project, database: Database, gate: CommandLine) -> None:
    """COMMIT does the deferred work; who waits meanwhile waits for it to end, and what is reported is what is there."""
    late = WORK_UNTIL_TOLD.removeprefix("DO ").replace("END LOOP;", "END LOOP; RETURN NULL;")
    database.execute(f"""
        CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS {late};
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()
        """)  # fmt: skip
    project.add("a1", "op.execute('LOCK TABLE accounts'); op.execute('INSERT INTO accounts VALUES (301)')")
    run = gate.start(project, *ARGUMENTS)
    database.until_running("COMMIT%")
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    database.until_waiting(seconds=3 * BUDGET)
    tell(database)
    outcome = run.wait().expect(0)
    assert app.seconds() > BUDGET
    assert outcome.named("migration_cancelled") == []
    assert database.version() == ["a1"]


def test_the_guards_own_session_is_ended(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """Nothing goes on unwatched: the run stops, and the migration's lock is gone at once."""
    project.add("a1", HOLD)
    run = gate.start(project, *ARGUMENTS)
    database.until_running(SLEEPING)
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'sage-migrate watch'"
    )
    assert app.seconds() < machine.allow(BUDGET + MARGIN)
    outcome = run.wait().expect(41)
    assert outcome.message == (
        "The session that watches for stalls broke, and the migration does not go on unwatched. "
        "Nothing was applied by this run. a1 was rolled back whole. "
        "See whether the server restarted or ended the session; then run it again."
    )
    assert "guard_lost" in json.dumps(outcome.events)


def test_the_guards_own_session_is_ended_between_two_tries(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """The same while the run waits for a reader."""
    project.add("a1", "ALTER TABLE accounts ADD x int")
    reader = database.reader("accounts")
    run = gate.start(project, *ARGUMENTS)
    run.until("lock_try_failed")
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'sage-migrate watch'"
    )
    outcome = run.wait().expect(41)
    assert outcome.message.startswith("The session that watches for stalls broke")
    reader.rollback()


def test_env_py_under_another_role(project: Project, database: Database, gate: CommandLine) -> None:
    """A role that may not cancel env.py's session cannot guard it: refused before anything is changed."""
    watcher = f"watcher_{database.name}"
    database.execute(f"CREATE ROLE {watcher} LOGIN")
    other = database.url("psycopg2").replace("%", "%%")
    project.write(
        "migrations/env.py",
        env_files.SYNC.replace(
            "config = context.config",
            f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {other!r})",
        ),
    )
    project.add("a1", HOLD)
    outcome = gate.run(project, *ARGUMENTS, url=database.url(user=watcher)).expect(2)
    assert outcome.message == (
        f"env.py connects as postgres, and {watcher}, whom the runner connects as, may not cancel what that role runs: "
        "the migration would be unguarded. Nothing was applied by this run. "
        f'Let both connect as the same role, or: GRANT "postgres" TO "{watcher}".'
    )
    assert database.version() == []
    database.execute(f"DROP ROLE {watcher}")


def test_a_pid_that_was_given_to_somebody_else(project: Project, database: Database, gate: CommandLine) -> None:
    """The cancel names session and transaction, so that a later one of either with the same pid is not hit."""
    settings = Settings(config_file=project.directory / "alembic.ini", database_url=parse_database_url(database.url()))
    app = database.connect("webapp")
    sleeping = Competitor(app, "SELECT pg_sleep(100)")
    pid = database.until_running(SLEEPING)
    start = database.value(f"SELECT backend_start::text FROM pg_stat_activity WHERE pid = {pid}")
    connect = connect_by_url(settings)
    with Gate(settings, Interruption()) as own:
        lock, watch = (own.connect_session(connect, name) for name in ("lock", "watch"))
        own.open(LockedDatabase(connect=connect, lock=lock, watch=watch, lock_pid=0, lock_token=0))
        earlier = MigrationBackend(pid=pid, backend_start="2020-01-01 00:00:00+00")
        own.call(own.cancel_migration("pg_terminate_backend", earlier))
        now = MigrationBackend(pid=pid, backend_start=start)
        own.call(own.cancel_migration("pg_terminate_backend", now, "0/0"))  # of a transaction that has ended
        transaction = database.value(f"SELECT virtualtransaction FROM pg_locks WHERE pid = {pid} LIMIT 1")
        own.call(own.cancel_migration("pg_cancel_backend", now, transaction))
    with pytest.raises(Exception, match="canceling statement due to user request"):
        sleeping.seconds()
