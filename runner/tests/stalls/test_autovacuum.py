"""A real autovacuum in the way: it gives way to who waits for a second, one against wraparound does not."""

from collections.abc import Iterator

import psycopg
import pytest
from harness.command import PATIENT, CommandLine
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

from stalls.servers import own_server

SETTINGS = {"autovacuum_naptime": "1s", "synchronous_commit": "off"}
# The least age that PostgreSQL takes, and as slow as it goes.
OPTIONS = "autovacuum_freeze_max_age = 100000, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100"
WORKER = "FROM pg_stat_progress_vacuum WHERE relid = 'accounts'::regclass"


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    """Run a server whose autovacuum comes at once."""
    with own_server(**SETTINGS) as running:
        yield running


@pytest.fixture
def project(project: Project, database: Database) -> Project:
    """Make a project whose one revision needs a lock on a table whose autovacuum takes its time."""
    database.execute(
        f"CREATE TABLE accounts (id int, filler text) WITH (fillfactor = 10, autovacuum_enabled = off, {OPTIONS});"
        " INSERT INTO accounts SELECT n, repeat('x', 500) FROM generate_series(1, 1000) AS n"
    )
    project.add("a1", "ALTER TABLE accounts ADD x int")
    return project


def consume_transaction_ids(database: Database, count: int) -> None:
    """Let tables grow older."""
    database.execute("""
        CREATE OR REPLACE PROCEDURE consume(number int) LANGUAGE plpgsql AS
        $$ BEGIN FOR i IN 1..number LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$
        """)
    database.execute(f"CALL consume({count})")


@pytest.mark.parametrize("login", ["postgres", "login"])
def test_an_ordinary_one_is_made_to_go(
    login: str, project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """It ends for a lock that stalls nobody; the application goes on meanwhile. Rights come from the table's owner."""
    owner, options = f"owner_{database.name}", []
    if login != "postgres":
        login, options = f"login_{database.name}", ["--role", owner]
        database.execute(
            f"CREATE ROLE {owner}; CREATE ROLE {login} LOGIN NOINHERIT IN ROLE {owner};"
            f" GRANT CREATE ON SCHEMA public TO {owner}; ALTER TABLE accounts OWNER TO {owner}"
        )
    database.execute("DELETE FROM accounts WHERE id % 2 = 0; ALTER TABLE accounts SET (autovacuum_enabled = on)")
    database.until(f"EXISTS (SELECT {WORKER})")
    worker = database.value(f"SELECT pid {WORKER}")
    run = gate.start(project, "upgrade", *PATIENT, *options, url=database.url(user=login))
    (blocker,) = run.until("lock_try_failed")["blockers"]
    app = database.connect("webapp", lock_timeout="900ms")  # less than it takes until an autovacuum gives way by itself
    for _ in range(50):
        app.execute(b"UPDATE accounts SET id = id WHERE id = 1")
    outcome = run.wait().expect(0)
    assert (blocker["pid"], blocker["application_name"]) == (worker, "autovacuum")
    gone, *_ = outcome.named("autovacuum_gave_way")  # the launcher may send another one, which goes the same way
    assert (gone["pid"], gone["relation"]) == (worker, "accounts")
    assert outcome.seconds < machine.allow(10)
    if options:
        database.execute(f"DROP OWNED BY {owner}, {login} CASCADE; DROP ROLE {owner}, {login}")


def test_one_while_an_index_is_built_anew(project: Project, database: Database, gate: CommandLine) -> None:
    """An autovacuum builds nothing, though it holds the lock that a builder holds: the INVALID index is dropped."""
    statement = "CREATE UNIQUE INDEX CONCURRENTLY accounts_filler ON accounts (filler)"
    with pytest.raises(psycopg.errors.UniqueViolation):
        database.execute(statement)
    database.execute("UPDATE accounts SET filler = id::text; ALTER TABLE accounts SET (autovacuum_enabled = on)")
    database.until(f"EXISTS (SELECT {WORKER})")
    code = f"with op.get_context().autocommit_block():\n    op.execute({statement!r})"
    project.add("a1", code, down=None)
    outcome = gate.run(project).expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "public.accounts_filler"
    assert outcome.one("revision_applied")["tries"] == 1


def test_one_against_wraparound_is_waited_for(project: Project, database: Database, gate: CommandLine) -> None:
    """It is named, and stays until it has ended."""
    consume_transaction_ids(database, 100_000)
    database.until(f"EXISTS (SELECT {WORKER})")
    worker = database.value(f"SELECT pid {WORKER}")
    run = gate.start(project, "upgrade", *PATIENT)
    stays = run.until("autovacuum_stays")
    (blocker,) = run.until("lock_awaited")["blockers"]
    assert (stays["pid"], stays["reason"]) == (worker, "55P03")
    assert blocker["query"].endswith("public.accounts (to prevent wraparound)")
    assert database.value(f"SELECT count(*) {WORKER} AND pid = {worker}") == 1
    # ALTER TABLE would have to wait for it too. The next one is quick.
    database.execute("UPDATE pg_class SET reloptions = NULL WHERE oid = 'accounts'::regclass")
    database.execute(f"SELECT pg_cancel_backend({worker})")
    assert run.wait().expect(0).named("autovacuum_gave_way") == []


def test_one_that_waits_for_us_is_no_victim(project: Project, database: Database, gate: CommandLine) -> None:
    """It keeps nobody waiting, so it does not count, however long it waits."""
    database.execute("CREATE TABLE go (id int)")
    hold = "DO $$ BEGIN LOOP EXIT WHEN EXISTS (SELECT FROM go); PERFORM pg_sleep(0.05); END LOOP; END $$"
    project.add("a1", f"op.execute('LOCK TABLE accounts IN SHARE MODE'); op.execute({hold!r})", down=None)
    run = gate.start(project, "upgrade", "--stall-budget", "300ms", "--lock-timeout", "50ms")
    database.until_running("DO $$%")
    consume_transaction_ids(database, 101_000)
    waiting = "FROM pg_locks WHERE NOT granted AND relation = 'accounts'::regclass"
    database.until(f"EXISTS (SELECT {waiting} AND waitstart < clock_timestamp() - interval '1 second')")
    database.execute("INSERT INTO go VALUES (1)")
    outcome = run.wait().expect(0)
    assert outcome.named("migration_cancelled") == []
