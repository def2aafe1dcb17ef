"""SIGTERM and SIGINT: the statement is cancelled, the transaction rolled back, and the status is the signal's own."""

import signal
from datetime import datetime

import pytest
from harness.command import CommandLine, Run
from harness.env_files import STYLES, Style
from harness.postgres import Database
from harness.project import Project
from harness.proxy import Proxy
from sage_migrate.advisory_lock import LOCK_KEY

SIGNALS = [signal.SIGTERM, signal.SIGINT]
AGAIN = "Run the same command again: it goes on where this run stopped."


def stop(run: Run, number: signal.Signals, *, effect: str, within: float = 5) -> None:
    """Send the signal; expect its status, its message and a quick end."""
    status = 128 + number
    run.send(number)
    outcome = run.wait().expect(status)
    assert outcome.message == f"{number.name} arrived. {effect} {AGAIN}"
    assert outcome.termination is not None
    assert outcome.termination["status"] == status
    stopped = outcome.one("stop_requested")["timestamp"]
    assert _seconds_between(stopped, outcome.failed["timestamp"]) < within


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_in_a_long_statement(
    style: Style, number: signal.Signals, project: Project, database: Database, gate: CommandLine
) -> None:
    """The server stops working on it, and what was applied before stays."""
    project.write("migrations/env.py", style.env)
    project.add("a1")
    project.add("b2", "op.execute('CREATE TABLE one (id int)'); op.execute('SELECT pg_sleep(30)')")
    run = gate.start(project, url=database.url(style.driver))
    database.until_running("%pg_sleep(30)%")
    stop(run, number, effect="Applied by this run, and staying so: a1. b2 was rolled back whole.")
    assert database.version() == ["a1"]
    assert not database.has("one")
    assert (
        database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()"
        )
        == 0
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_while_waiting_for_the_database(number: signal.Signals, project: Project, gate: CommandLine) -> None:
    """Before anything was reached."""
    project.add("a1")
    run = gate.start(project, url="postgresql://postgres@127.0.0.1:1/app")
    run.until("database_awaited")
    stop(run, number, effect="Nothing was applied by this run.")


def test_while_env_py_alone_waits_for_the_database(project: Project, gate: CommandLine) -> None:
    """Also where only env.py knows the URL."""
    project.write(
        "alembic.ini",
        "[alembic]\nscript_location = migrations\nsqlalchemy.url = postgresql+psycopg2://a@127.0.0.1:1/app\n",
    )
    project.add("a1")
    run = gate.start(project, url=None)
    run.until("database_awaited")
    stop(run, signal.SIGTERM, effect="Nothing was applied by this run.")


@pytest.mark.parametrize("number", SIGNALS)
def test_while_waiting_for_another_runner(
    number: signal.Signals, project: Project, database: Database, gate: CommandLine
) -> None:
    """While the lock is held elsewhere."""
    project.add("a1")
    database.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    run = gate.start(project)
    run.until("runner_lock_awaited")
    stop(run, number, effect="Nothing was applied by this run.")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_between_two_tries(
    style: Style, number: signal.Signals, project: Project, database: Database, gate: CommandLine
) -> None:
    """While a reader is awaited."""
    database.execute("CREATE TABLE accounts (id int)")
    project.write("migrations/env.py", style.env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    reader = database.reader("accounts")
    run = gate.start(project, url=database.url(style.driver))
    run.until("lock_try_failed")
    stop(run, number, effect="Nothing was applied by this run. a1 was rolled back whole.")
    reader.rollback()
    assert database.version() == []


def test_in_pure_python(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision that is in no statement loses its transaction soon, and the process ends within the grace period."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", "op.execute('LOCK TABLE accounts')\nwhile True: pass")
    run = gate.start(project)
    database.until(
        "EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass AND mode = 'AccessExclusiveLock')"
    )
    run.send(signal.SIGTERM)
    database.until("NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass)")
    assert run.wait().expect(143).seconds < 20
    assert database.version() == []


def test_a_second_signal_ends_it_at_once(project: Project, database: Database, gate: CommandLine) -> None:
    """Who sends the signal again does not want to wait."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", "op.execute('LOCK TABLE accounts')\nwhile True: pass")
    run = gate.start(project)
    database.until("EXISTS (SELECT FROM pg_locks WHERE relation = 'accounts'::regclass)")
    run.send(signal.SIGTERM)
    run.until("stop_requested")
    run.send(signal.SIGINT)
    assert run.wait(timeout=2).status == 130


def test_when_the_network_is_silent(project: Project, database: Database, gate: CommandLine) -> None:
    """A server that no longer answers does not keep the process beyond the grace period."""
    project.add("a1", "SELECT pg_sleep(30)")
    with Proxy(database.server.port) as proxy:
        run = gate.start(project, url=database.url(port=proxy.port))
        database.until_running("%pg_sleep(30)%")
        proxy.silent = True
        run.send(signal.SIGTERM)
        outcome = run.wait(timeout=25).expect(143)
    assert outcome.message == f"SIGTERM arrived. Nothing was applied by this run. a1 was rolled back whole. {AGAIN}"


def test_a_child_of_env_py_can_be_stopped(project: Project, gate: CommandLine) -> None:
    """The runner's blocked signals are not inherited by processes that a revision starts."""
    project.add("a1", """
        import signal, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"],
            stdout=subprocess.PIPE, text=True)
        assert child.communicate()[0].strip() == "set()"
        """)  # fmt: skip
    gate.run(project).expect(0)
