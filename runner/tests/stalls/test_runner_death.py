"""A runner that dies, hangs or loses its network: the server lets go of its locks, and the next runner goes on."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from harness import env_files
from harness.command import CommandLine, Launcher
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project
from harness.proxy import Proxy
from sage_migrate.scratch_server import ScratchServer

from stalls.competitor import Competitor
from stalls.network_namespace import network_namespace, swallow_packets
from stalls.servers import own_server

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
HOLD = "op.execute('LOCK TABLE accounts'); op.execute('UPDATE accounts SET name = name'); op.execute('SELECT pg_sleep(100)')"
SLEEPING = "%pg_sleep(100)%"
QUICK = ("upgrade", "--lock-timeout", "50ms", "--stall-budget", "20s")
LOCKED = (
    "EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock' AND granted)"
)


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_it_is_killed(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, accounts: Database, gate: CommandLine, machine: Machine
) -> None:
    """The application goes on within a second or so, nothing is committed, and the next run takes the lock."""
    project.write("migrations/env.py", env)
    project.add("a1", HOLD)
    run = gate.start(project, *QUICK, url=accounts.url(driver))
    accounts.until_running(SLEEPING)
    app = Competitor(accounts.connect("webapp"), "SELECT * FROM accounts")
    accounts.until_waiting()
    killed = time.monotonic()
    run.kill()
    app.seconds()
    assert time.monotonic() - killed < machine.allow(2)
    assert accounts.version() == []
    project.add("a1", "ALTER TABLE accounts ADD x int", down=None)
    assert gate.run(project, url=accounts.url(driver)).expect(0).applied == ["a1"]


def test_what_the_server_is_told(project: Project, accounts: Database, gate: CommandLine) -> None:
    """It looks after its client by itself, and ends what idles or goes on beyond the deadline."""
    project.add("a1", "CREATE TABLE seen AS SELECT name, setting FROM pg_settings")
    gate.run(project, "upgrade", "--deadline", "200s", "--idle-timeout", "30s").expect(0)
    told = {
        "client_connection_check_interval": "500",
        "idle_in_transaction_session_timeout": "30000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": "9000",
        "transaction_timeout": "200000",  # since PostgreSQL 17
    }
    seen = dict(accounts.rows("SELECT name, setting FROM seen"))
    assert {name: seen[name] for name in told if name in seen} == {name: told[name] for name in told if name in seen}
    assert ("transaction_timeout" in seen) == (accounts.session.info.server_version >= 170000)


def test_it_is_killed_while_another_one_waits(project: Project, accounts: Database, gate: CommandLine) -> None:
    """The waiting runner takes the lock over and completes."""
    project.add("a1", "op.execute('CREATE TABLE one (id int)'); op.execute('SELECT pg_sleep(100)')")
    first = gate.start(project, *QUICK)
    accounts.until_running(SLEEPING)
    project.add("a1", "CREATE TABLE one (id int)", down=None)
    second = gate.start(project, *QUICK)
    second.until("runner_lock_awaited")
    first.kill()
    assert second.wait().expect(0).applied == ["a1"]


def test_it_hangs(project: Project, accounts: Database, gate: CommandLine, machine: Machine) -> None:
    """A stopped process guards nothing any more; its idle transaction is ended by the server."""
    project.add("a1", "op.execute('LOCK TABLE accounts')\nimport time\nwhile True: time.sleep(0.1)")
    run = gate.start(project, "upgrade", "--idle-timeout", "2s")
    accounts.until(LOCKED)
    run.send(signal.SIGSTOP)
    app = Competitor(accounts.connect("webapp"), "SELECT * FROM accounts")
    assert app.seconds() < machine.allow(4)
    assert accounts.version() == []
    run.kill()


@pytest.mark.parametrize(("driver", "env"), STYLES)
@pytest.mark.parametrize("then", ["op.execute('SELECT 1')", "pass"], ids=["statement", "commit"])
def test_its_idle_transaction_was_ended(  # noqa: PLR0913, PLR0917  parameters and fixtures
    then: str, driver: str, env: str, project: Project, accounts: Database, gate: CommandLine
) -> None:
    """A revision that computes for longer than `--idle-timeout` is told why it lost its session."""
    project.write("migrations/env.py", env)
    project.add("a1", f"op.execute('LOCK TABLE accounts')\nimport time\ntime.sleep(1.3)\n{then}")
    arguments = ("upgrade", "--lock-timeout", "50ms", "--stall-budget", "100ms", "--idle-timeout", "500ms")
    outcome = gate.run(project, *arguments, url=accounts.url(driver)).expect(40)
    assert re.sub(r"[\d.]+ s ", "TIME ", outcome.message) == (
        "Revision a1 sent nothing for TIME while its transaction was open; after 500 ms the server ended its session "
        "(SQLSTATE 25P03). Nothing was applied by this run. a1 was rolled back whole. "
        "Compute before the first statement or in another revision, or lengthen --idle-timeout."
    )
    assert accounts.version() == []


@pytest.mark.parametrize(("driver", "env"), [STYLES[0], STYLES[2]])
def test_its_network_is_silent(driver: str, env: str, project: Project, accounts: Database, gate: CommandLine) -> None:
    """A runner whose server does not answer any more ends by itself, as a lost connection."""
    project.write("migrations/env.py", env)
    project.add("a1", HOLD)
    with Proxy(accounts.server.port) as proxy:
        run = gate.start(project, *QUICK, "--stall-budget", "1s", url=accounts.url(driver, port=proxy.port))
        accounts.until_running(SLEEPING)
        proxy.silent = True
        outcome = run.wait().expect(41)
    assert outcome.message.startswith("The session that watches for stalls broke")
    accounts.until(f"NOT {LOCKED}")
    assert accounts.version() == []


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[tuple[ScratchServer, CommandLine, psycopg.Connection[tuple[object, ...]]]]:
    """Run server and runner in a network of their own; the test looks on by the server's socket."""
    with network_namespace(), own_server() as server, closing(Launcher()) as launcher:
        gate = CommandLine(launcher, server.url(), tmp_path)
        with psycopg.connect(
            host=str(server.directory), port=server.port, user="postgres", dbname="postgres", autocommit=True
        ) as looker:
            yield server, gate, looker
        gate.kill()


def test_its_node_vanishes(
    project: Project, cut_off: tuple[ScratchServer, CommandLine, psycopg.Connection[tuple[object, ...]]]
) -> None:
    """When packets are swallowed, keepalives end the migration's session and free the lock within ten seconds or so."""
    server, gate, looker = cut_off
    looker.execute(b"CREATE TABLE accounts (id int, name text)")
    project.add("a1", HOLD)
    run = gate.start(project, *QUICK)
    sessions = b"SELECT count(*) FROM pg_stat_activity WHERE client_port > 0"
    while looker.execute(b"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'").fetchone() != (
        1,
    ):
        time.sleep(0.05)
    swallow_packets(server.port)
    cut = time.monotonic()
    looker.execute(b"SELECT * FROM accounts")
    assert time.monotonic() - cut < 13
    while looker.execute(sessions).fetchone() != (0,):  # the lock's session and the watching one, which idle
        assert time.monotonic() - cut < 20
        time.sleep(0.1)
    assert looker.execute(b"SELECT to_regclass('alembic_version') IS NULL").fetchone() == (True,)
    run.kill()
