"""What a migration can raise, and who can take its connection away."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from harness.command import CommandLine
from harness.env_files import STYLES, Style
from harness.postgres import Database
from harness.project import Project
from harness.proxy import Proxy
from sage_migrate import errors
from sage_migrate.failures import Circumstances, explain
from sqlalchemy.exc import DBAPIError

SLEEP = "SELECT pg_sleep(30)"


def without_times(message: str) -> str:
    """Return a message with its measured times replaced."""
    return re.sub(r"\d+(\.\d+)? (ms|s)\b", "TIME", message)


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    """Put a proxy before the server."""
    with Proxy(database.server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_an_error_of_sql(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """Message and SQLSTATE are PostgreSQL's; its DETAIL and the literals, which hold data, are not shown."""
    database.execute("CREATE TABLE people (name text UNIQUE); INSERT INTO people VALUES ('Ada Lovelace')")
    project.write("migrations/env.py", style.env)
    project.add("a1", "INSERT INTO people VALUES ('Ada Lovelace')")
    outcome = gate.run(project, url=database.url(style.driver)).expect(40)
    assert outcome.message == (
        'Revision a1 failed: duplicate key value violates unique constraint "people_name_key" (SQLSTATE 23505) in: '
        "INSERT INTO people VALUES (?). Nothing was applied by this run. a1 was rolled back whole. "
        "Correct the revision, try it on a copy of the database, and release again."
    )
    assert "Lovelace" not in outcome.stdout + outcome.stderr
    assert outcome.failed["sqlstate"] == "23505"


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_an_error_of_python(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """File and line are those of the revision."""
    project.write("migrations/env.py", style.env)
    project.add("a1", "op.execute('CREATE TABLE one (id int)')\nraise KeyError('tenant')")
    outcome = gate.run(project, url=database.url(style.driver)).expect(40)
    line = (project.migrations / "versions" / "a1.py").read_text().splitlines().index(
        "    raise KeyError('tenant')"
    ) + 1
    assert outcome.message == (
        f"Revision a1 raised KeyError at a1.py line {line}: 'tenant'. Nothing was applied by this run. "
        "a1 was rolled back whole. Correct it and release again; --debug shows the traceback."
    )
    assert "Traceback" not in outcome.stderr
    assert not database.has("one")


def test_debug_shows_the_traceback(project: Project, gate: CommandLine) -> None:
    """`--debug` adds it on stderr."""
    project.add("a1", "raise KeyError('tenant')")
    assert "Traceback" in gate.run(project, "upgrade", "--debug").expect(40).stderr


def test_a_revision_that_leaves(project: Project, database: Database, gate: CommandLine) -> None:
    """sys.exit() in a revision is a failure of it, whatever its argument."""
    project.add("a1", "import sys\nsys.exit(0)")
    outcome = gate.run(project).expect(40)
    assert outcome.message.startswith("Revision a1 raised SystemExit at a1.py line 14: ")
    assert database.version() == []


def test_a_part_that_is_committed_is_said(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision that fails after its own autocommit block was not rolled back whole."""
    code = "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE one (id int)')\nop.execute('SELECT 1/0')"
    project.add("a1", code)
    outcome = gate.run(project).expect(40)
    assert outcome.message == (
        "Revision a1 failed: division by zero (SQLSTATE 22012) in: SELECT ?/?. Nothing was applied by this run. "
        "a1 committed a part of its work before it failed (an autocommit block, or a commit of its own). "
        "Correct the revision, try it on a copy of the database, and release again."
    )
    assert database.has("one")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_connection_breaks(
    style: Style, project: Project, database: Database, gate: CommandLine, proxy: Proxy
) -> None:
    """A reset of all connections in the middle of a statement has a status of its own, and can be repeated."""
    project.write("migrations/env.py", style.env)
    project.add("a1", SLEEP)
    run = gate.start(project, url=database.url(style.driver, port=proxy.port))
    database.until_running("%pg_sleep(30)%")
    proxy.cut()
    outcome = run.wait().expect(41)
    assert outcome.message == (
        "The connection to the server broke in revision a1. Nothing was applied by this run. a1 was rolled back whole. "
        "See whether the server restarted or failed over; then run it again: it goes on where the version table stands."
    )
    assert outcome.failed["retryable"] is True


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_only_the_migrations_connection_breaks(
    style: Style, project: Project, database: Database, gate: CommandLine, proxy: Proxy
) -> None:
    """The same when the runner's own sessions live on."""
    url = database.url(style.driver, port=proxy.port).replace("%", "%%")
    own = f"config = context.config\nconfig.set_main_option('sqlalchemy.url', {url!r})"
    project.write("migrations/env.py", style.env.replace("config = context.config", own))
    project.add("a1", SLEEP)
    run = gate.start(project)
    database.until_running("%pg_sleep(30)%")
    proxy.cut()
    run.wait().expect(41)


def test_the_locks_session_ends(project: Project, database: Database, gate: CommandLine) -> None:
    """Without its lock the runner applies nothing more: another one may be at work."""
    ours = "application_name = 'sage-migrate lock' AND datname = current_database()"
    kill = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {ours}"
    project.add("a1", kill)
    project.add("b2")
    outcome = gate.run(project).expect(41)
    assert outcome.message == (
        "The session that holds the runner's lock broke, so another runner may be at work. "
        "Applied by this run, and staying so: a1. Run it again: it goes on where the version table stands."
    )
    assert database.version() == ["a1"]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_somebody_cancels_the_statement(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """pg_cancel_backend by somebody else is told from statement_timeout."""
    project.write("migrations/env.py", style.env)
    project.add("a1", SLEEP)
    run = gate.start(project, url=database.url(style.driver))
    database.execute(f"SELECT pg_cancel_backend({database.until_running('%pg_sleep(30)%')})")
    outcome = run.wait().expect(42)
    assert without_times(outcome.message) == (
        "Revision a1 was cancelled by somebody else after TIME (SQLSTATE 57014) in: SELECT pg_sleep(?). "
        "Nothing was applied by this run. a1 was rolled back whole. "
        "Ask who cancelled it (pg_cancel_backend); then run it again."
    )


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_somebody_ends_the_session(style: Style, project: Project, database: Database, gate: CommandLine) -> None:
    """pg_terminate_backend by somebody else counts as that, where the driver keeps the SQLSTATE: psycopg2 loses it."""
    project.write("migrations/env.py", style.env)
    project.add("a1", SLEEP)
    run = gate.start(project, url=database.url(style.driver))
    database.execute(f"SELECT pg_terminate_backend({database.until_running('%pg_sleep(30)%')})")
    if style.driver == "psycopg2":
        run.wait().expect(41)
        return
    assert run.wait().expect(42).message == (
        "Revision a1 lost its session: the server or an administrator ended it (SQLSTATE 57P01: "
        "terminating connection due to administrator command). Nothing was applied by this run. a1 was rolled back whole. "
        "Find out why the server ended it (a restart, pg_terminate_backend); then run it again."
    )


_EXPECTED = {
    "55P03": errors.LockNotObtainedError,
    "40P01": errors.LockNotObtainedError,
    "57014": errors.CancelledByOtherError,
    "57P01": errors.CancelledByOtherError,
    "57P02": errors.CancelledByOtherError,
    "57P05": errors.CancelledByOtherError,
    "25006": errors.ReadOnlyTargetError,
}
_CLASSES: list[type[Exception]] = [
    each
    for each in (*vars(asyncpg.exceptions).values(), *vars(psycopg.errors).values())
    if isinstance(each, type) and issubclass(each, Exception) and getattr(each, "sqlstate", None)
]


def _name(kind: object) -> str:
    assert isinstance(kind, type)
    return f"{kind.__module__.partition('.')[0]}-{kind.__name__}"


@pytest.mark.parametrize("kind", sorted(_CLASSES, key=_name), ids=_name)
def test_every_error_of_the_drivers_is_mapped(kind: type[Exception]) -> None:
    """A server error becomes the gate's by its SQLSTATE, bare or wrapped by SQLAlchemy, and never a bug's status."""
    sqlstate: str = kind.sqlstate  # type: ignore[attr-defined]
    lost = errors.ConnectionLostError if sqlstate.startswith("08") else errors.MigrationFailedError
    circumstances = Circumstances(
        revision="a1",
        statement="SELECT 1",
        statement_seconds=1,
        statement_timeout=180,
        connected=True,
        script_directory=Path(),
        show_literals=False,
    )
    raised = kind("message")
    for error in (raised, DBAPIError("SELECT 1", {}, raised)):
        assert type(explain(error, circumstances)) is _EXPECTED.get(sqlstate, lost)
