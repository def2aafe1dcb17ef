"""A hot standby: what reaches its readers, and a failover to it in the middle of a run."""

import signal
from collections.abc import Iterator

import psycopg
import pytest
from harness import env_files
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

from stalls.competitor import Competitor
from stalls.replication import Standby
from stalls.until_told import WORK_UNTIL_TOLD, WORKING, tell

STYLES = [("psycopg2", env_files.SYNC), ("asyncpg", env_files.ASYNC)]


@pytest.fixture
def server() -> Iterator[ScratchServer]:
    """Run a primary that a test may lose: the embedded one, since bundles of older servers lack pg_basebackup."""
    with ScratchServer() as running:
        yield running


@pytest.fixture
def standby(accounts: Database) -> Iterator[Standby]:
    """Run its standby."""
    with Standby(accounts.server) as running:
        yield running


def test_readers_of_a_standby(project: Project, accounts: Database, standby: Standby, gate: CommandLine) -> None:
    """They wait for locks that are replayed there, nothing of which shows on the primary: the run says so beforehand."""
    accounts.until("(SELECT count(*) FROM pg_stat_replication) = 1")
    project.add("a1", f"op.execute('LOCK TABLE accounts'); op.execute({WORK_UNTIL_TOLD!r})")
    run = gate.start(project, "upgrade", "--stall-budget", "500ms")
    accounts.until_running(WORKING)
    accounts.execute("CREATE TABLE written (id int)")  # a commit sends what was logged before it, the lock as well
    standby.catch_up()
    reader = psycopg.connect(standby.url(accounts.name), autocommit=True)
    reading = Competitor(reader, "SELECT count(*) FROM accounts")
    standby.until("EXISTS (SELECT FROM pg_locks WHERE NOT granted AND waitstart < clock_timestamp() - interval '1 s')")
    tell(accounts)
    outcome = run.wait().expect(0)
    assert reading.seconds() > 1
    reader.close()
    warning = outcome.one("standbys_not_watched")
    assert warning["standbys"] == 1
    assert "a hot standby replays our ACCESS EXCLUSIVE locks and its readers wait for them" in warning["effect"]
    assert outcome.named("stall_budget_exceeded") == []


def test_a_backfill_waits_for_a_replica(
    project: Project, accounts: Database, standby: Standby, gate: CommandLine
) -> None:
    """No batch is begun while one is too far behind; a role that may not see it is told so, and goes on."""
    accounts.execute("INSERT INTO accounts SELECT n, 'name' FROM generate_series(301, 5000) AS n")
    declared = {"table": "accounts", "set": "name = 'new'", "where": "name <> 'new'", "max_replica_lag": "10ms"}
    project.add("a1", head=f"sage_migrate = {{'backfill': {declared!r}}}")
    accounts.until("(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') = 1")
    standby.catch_up()
    standby.replay(paused=True)
    accounts.execute("UPDATE accounts SET name = 'old'")
    accounts.until("(SELECT replay_lag > '10ms' FROM pg_stat_replication)")
    left = "(SELECT count(*) FROM accounts WHERE name <> 'new')"
    run = gate.start(project, "upgrade")
    run.until("backfill_waits", reason="replica lag")
    assert accounts.value(f"SELECT {left}") == 5000
    standby.replay(paused=False)
    run.wait().expect(0)
    assert accounts.value(f"SELECT {left}") == 0
    standby.replay(paused=True)
    accounts.execute(
        "CREATE ROLE blind LOGIN; ALTER TABLE accounts OWNER TO blind; GRANT CREATE ON SCHEMA public TO blind"
    )
    accounts.execute("ALTER TABLE alembic_version OWNER TO blind; UPDATE accounts SET name = 'old'")
    project.add("b2", head=f"sage_migrate = {{'backfill': {declared!r}}}")
    outcome = gate.run(project, "upgrade", url=accounts.url(user="blind")).expect(0)
    assert outcome.one("backfill_replicas_not_seen")["remedy"] == "GRANT pg_read_all_stats TO the migrating role"
    assert accounts.value(f"SELECT {left}") == 0


def test_a_standby_is_no_target(project: Project, accounts: Database, standby: Standby, gate: CommandLine) -> None:
    """A run that reaches the standby alone is refused before anything else."""
    project.add("a1")
    standby.catch_up()
    outcome = gate.run(project, url=standby.url(accounts.name)).expect(12)
    assert "target_session_attrs=read-write" in outcome.message


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_failover_during_a_revision(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, accounts: Database, standby: Standby, gate: CommandLine
) -> None:
    """With both hosts in the URL the run ends as a lost connection, and the next one completes on the new primary."""
    primary = accounts.server
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql+{driver}://postgres@{hosts}/{accounts.name}?target_session_attrs=read-write"
    project.write("migrations/env.py", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    project.add("b2", "op.execute('CREATE TABLE two (id int)'); op.execute('SELECT pg_sleep(100)')")
    run = gate.start(project, url=url)
    accounts.until_running("%pg_sleep(100)%")
    standby.catch_up()
    primary.stop(signal.SIGQUIT)
    standby.promote()
    outcome = run.wait()
    assert outcome.status in (41, 42), outcome.stdout
    assert "Applied by this run, and staying so: a1. b2 was rolled back whole." in outcome.message
    project.add("b2", "CREATE TABLE two (id int)", down="a1")
    assert gate.run(project, url=url).expect(0).applied == ["b2"]
    with psycopg.connect(standby.url(accounts.name)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("b2",)]
    primary.start()  # for the fixture, which drops the database there
