"""A server that restarts, runs full, or is told by others what to do."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project
from harness.proxy import Proxy
from sage_migrate.advisory_lock import LOCK_KEY
from sage_migrate.scratch_server import ScratchServer

from stalls.servers import own_server

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
SLEEPING = "%pg_sleep(100)%"


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    """Run a server of these tests' own."""
    with own_server() as running:
        yield running


def restart(database: Database, how: signal.Signals) -> None:
    """Restart the server and look on by a new session."""
    database.server.stop(how)
    database.server.start()
    database.session = database.connect("looker")


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_restarted_during_a_revision(  # noqa: PLR0913, PLR0917  parameters and fixtures
    how: signal.Signals, driver: str, env: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """What was applied before stays and is reported; the next run completes."""
    project.write("migrations/env.py", env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "op.execute('CREATE TABLE two (id int)'); op.execute('SELECT pg_sleep(100)')")
    run = gate.start(project, url=database.url(driver))
    database.until_running(SLEEPING)
    restart(database, how)
    outcome = run.wait()
    assert outcome.status in (41, 42), outcome.stdout
    assert "Applied by this run, and staying so: a1. b2 was rolled back whole." in outcome.message
    assert outcome.failed["retryable"] is True
    assert database.version() == ["a1"]
    assert not database.has("two")
    project.add("b2", "CREATE TABLE two (id int)", down="a1")
    assert gate.run(project, url=database.url(driver)).expect(0).applied == ["b2"]


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_restarted_between_two_tries(
    how: signal.Signals, project: Project, database: Database, gate: CommandLine
) -> None:
    """While the run waits for a reader."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", "ALTER TABLE accounts ADD x int")
    database.reader("accounts")
    run = gate.start(project)
    run.until("lock_try_failed")
    restart(database, how)
    outcome = run.wait().expect(41)
    assert "Nothing was applied by this run. a1 was rolled back whole." in outcome.message
    gate.run(project).expect(0)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_restarted_while_another_runner_is_awaited(
    how: signal.Signals, project: Project, database: Database, gate: CommandLine
) -> None:
    """Before the lock was taken: nothing of this run's can have happened."""
    project.add("a1")
    database.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    run = gate.start(project)
    run.until("runner_lock_awaited")
    restart(database, how)
    outcome = run.wait().expect(41)
    assert outcome.message == (
        "A session of the runner's own broke. Nothing was applied by this run. See whether the server restarted or ended "
        "the session; then run it again: it goes on where the version table stands."
    )
    gate.run(project).expect(0)


def test_a_network_that_takes_connections_and_answers_nothing(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """The wait for the database ends in time."""
    project.add("a1")
    with Proxy(database.server.port) as proxy:
        proxy.silent = True
        outcome = gate.run(project, "upgrade", "--wait-timeout", "2s", url=database.url(port=proxy.port)).expect(10)
    assert outcome.seconds < machine.allow(8)
    assert "Nothing was applied by this run." in outcome.message


def test_the_network_breaks_while_another_runner_is_awaited(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """A reset of all connections in the wait for the lock."""
    project.add("a1")
    database.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    with Proxy(database.server.port) as proxy:
        run = gate.start(project, url=database.url(port=proxy.port))
        run.until("runner_lock_awaited")
        proxy.cut()
        run.wait().expect(41)
    database.execute("SELECT pg_advisory_unlock_all()")
    gate.run(project).expect(0)


@pytest.fixture
def small_disk(tmp_path: Path, server: ScratchServer) -> Iterator[Path]:
    """Mount a disk of a few megabytes that belongs to the server.

    Where that is not possible the test fails in CI, and is skipped elsewhere with the reason.
    """
    if os.geteuid() != 0 or not shutil.which("mount"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("a small disk needs root, to mount it")
    disk = Path(tempfile.mkdtemp(dir=server.directory))
    disk.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    data = disk / "data"
    data.mkdir()
    shutil.chown(data, server.directory.owner())
    yield data
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize(("driver", "env"), STYLES[1:3])
def test_a_full_disk(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, database: Database, gate: CommandLine, small_disk: Path
) -> None:
    """The revision is rolled back whole, says what is missing, and completes when there is room."""
    database.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    project.write("migrations/env.py", env)
    fill = "CREATE TABLE big TABLESPACE small AS SELECT n, repeat('x', 900) FROM generate_series(1, 20000) AS n"
    project.add("a1")
    project.add("b2", fill)
    outcome = gate.run(project, url=database.url(driver)).expect(40)
    assert outcome.failed["sqlstate"] == "53100"
    assert outcome.message.endswith(
        "Applied by this run, and staying so: a1. b2 was rolled back whole. Free disk space on the server, then run it again."
    )
    assert database.version() == ["a1"]
    assert not database.has("big")
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk.parent], check=True)
    assert gate.run(project, url=database.url(driver)).expect(0).applied == ["b2"]
    database.execute("DROP TABLE big")
    database.execute("DROP TABLESPACE small")


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_timeouts_of_the_role(driver: str, env: str, project: Project, database: Database, gate: CommandLine) -> None:
    """What ALTER ROLE set for the application is overridden for the migration and for the runner's own sessions."""
    role = f"hasty_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role};"
        f" ALTER ROLE {role} SET statement_timeout = '700ms'; ALTER ROLE {role} SET lock_timeout = '1ms';"
        f" ALTER ROLE {role} SET idle_in_transaction_session_timeout = '700ms';"
        f" ALTER ROLE {role} SET idle_session_timeout = '700ms'"
    )
    project.write("migrations/env.py", env)
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
    values = ", ".join(f"current_setting('{name}')" for name in names)
    project.add("a1", f"""
        import time
        op.execute("SELECT pg_sleep(1)")
        time.sleep(1)
        op.execute("CREATE TABLE seen AS SELECT concat_ws(' ', {values}) AS limits")
        """)  # fmt: skip
    project.add("b2")
    gate.run(project, url=database.url(driver, user=role)).expect(0)
    assert database.value("SELECT limits FROM seen") == "100ms 3min 1min 0"
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_role_without_rights(driver: str, env: str, project: Project, database: Database, gate: CommandLine) -> None:
    """A refusal of the server says which role to use."""
    role = f"plain_{database.name}"
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}; CREATE TABLE accounts (id int)"
    )
    project.write("migrations/env.py", env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "ALTER TABLE accounts ADD x int")
    outcome = gate.run(project, url=database.url(driver, user=role)).expect(40)
    assert outcome.failed["sqlstate"] == "42501"
    assert outcome.message == (
        "Revision b2 failed: must be owner of table accounts (SQLSTATE 42501) in: ALTER TABLE accounts ADD x int. "
        "Applied by this run, and staying so: a1. b2 was rolled back whole. Give the migration a role that owns the objects "
        "(--role, or a secret of its own: Helm migration.database)."
    )
    database.execute(f"GRANT {role} TO CURRENT_USER; ALTER TABLE accounts OWNER TO {role}")
    assert gate.run(project, url=database.url(driver, user=role)).expect(0).applied == ["b2"]
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_a_role_that_may_not_even_begin(project: Project, database: Database, gate: CommandLine) -> None:
    """Without CREATE on the schema not even the version table can be made."""
    role = f"poor_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    project.add("a1", "CREATE TABLE one (id int)")
    outcome = gate.run(project, url=database.url(user=role)).expect(40)
    assert outcome.failed["sqlstate"] == "42501"
    assert re.match(r"(env\.py|Revision a1) failed: permission denied for schema public", outcome.message)
    database.execute(f"DROP ROLE {role}")
