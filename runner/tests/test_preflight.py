"""Servers that cannot take a migration, and an env.py that goes elsewhere."""

import pytest
from harness.command import CommandLine
from harness.env_files import STYLES, SYNC, Style
from harness.pgbouncer import Pgbouncer
from harness.postgres import Database
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

NOTHING = " Nothing was applied by this run. "


def test_a_database_that_is_read_only(project: Project, database: Database, gate: CommandLine) -> None:
    """default_transaction_read_only is seen before anything is tried."""
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    project.add("a1", "CREATE TABLE one (id int)")
    assert gate.run(project).expect(12).message == (
        f"Transactions in database {database.name} are read-only for role postgres.{NOTHING}"
        "Reset default_transaction_read_only for this role or database, or use the role that may alter."
    )


def test_a_standby(server: ScratchServer, project: Project, gate: CommandLine) -> None:
    """A server in recovery takes no migration."""
    project.add("a1", "CREATE TABLE one (id int)")
    with ScratchServer(server.bin_directory) as standby:
        standby.stop()
        (standby.directory / "data" / "standby.signal").touch()
        standby.start()
        assert gate.run(project, url=standby.url()).expect(12).message == (
            "The server of database postgres is in recovery: it is a standby, or still replaying its log."
            f"{NOTHING}Connect to the primary (target_session_attrs=read-write finds it among several hosts)."
        )


@pytest.mark.parametrize("style", [STYLES[0], STYLES[2]], ids=lambda style: style.name)
def test_a_pooler_in_transaction_mode(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """Session locks leak there, so it is refused with the way around it."""
    project.write("migrations/env.py", style.env)
    project.add("a1", "CREATE TABLE one (id int)")
    with Pgbouncer(server_port=database.server.port, pool_mode="transaction") as pooler:
        assert gate.run(project, url=database.url(style.driver, port=pooler.port)).expect(13).message == (
            "A pooler in transaction mode stands between this run and the server: two sessions were given one backend."
            f"{NOTHING}Give the migration a direct URL in SAGE_MIGRATE_DATABASE_URL (Helm: migration.database), and leave "
            "the app's DATABASE_URL on the pooler; or a pool in session mode."
        )
        # The pooler's backend goes on to the application, without the runner's limits.
        with database.connect("app", port=pooler.port) as application:
            assert application.execute("SHOW statement_timeout").fetchone() == ("0",)
        # What it tells to do works, and the pooler's sessions hold no lock of ours.
        gate.run(
            project,
            url=database.url(style.driver, port=pooler.port),
            SAGE_MIGRATE_DATABASE_URL=database.url(),
        ).expect(0)
    assert database.version() == ["a1"]
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_pooler_in_session_mode(project: Project, database: Database, gate: CommandLine) -> None:
    """It keeps a session for each client, which is all that is needed."""
    project.add("a1", "CREATE TABLE one (id int)")
    with Pgbouncer(server_port=database.server.port, pool_mode="session") as pooler:
        gate.run(project, url=database.url(port=pooler.port)).expect(0)
    assert database.version() == ["a1"]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_an_env_py_that_connects_elsewhere(
    style: Style, project: Project, database: Database, gate: CommandLine
) -> None:
    """The lock would protect one database while another is changed: both are named, and neither is touched."""
    project.add("a1", "CREATE TABLE one (id int)")
    other = Database(database.server, f"{database.name}_other")
    url = other.url(style.driver).replace("%", "%%")
    own = f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {url!r})"
    project.write("migrations/env.py", style.env.replace("config = context.config", own))
    try:
        assert gate.run(project).expect(14).message == (
            f"env.py connects to database {other.name} at 127.0.0.1 port {database.server.port}; the runner holds its lock in "
            f"postgresql://postgres:***@127.0.0.1:{database.server.port}/{database.name}.{NOTHING}"
            "Let env.py take its URL from sqlalchemy.url or DATABASE_URL, which the runner sets, or give the runner env.py's URL "
            "in SAGE_MIGRATE_DATABASE_URL."
        )
        assert not other.has("one")
        assert not other.has("alembic_version")
    finally:
        other.drop()


def test_an_env_py_that_connects_by_another_name(project: Project, database: Database, gate: CommandLine) -> None:
    """Another spelling of the host is the same database: the lock itself proves it, not the URL."""
    project.add("a1", "CREATE TABLE one (id int)")
    url = (
        f"postgresql+psycopg2://postgres@/{database.name}?host={database.server.directory}&port={database.server.port}"
    )
    own = f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {url!r})"
    project.write("migrations/env.py", SYNC.replace("config = context.config", own))
    gate.run(project).expect(0)
    assert database.has("one")
