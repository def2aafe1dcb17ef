"""One env.py for several databases, as Alembic's multidb template writes it."""

from collections.abc import Iterator
from pathlib import Path

import alembic
import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

TEMPLATE = (Path(alembic.__file__).parent / "templates" / "multidb" / "env.py").read_text()
# As the template's script.py.mako: one pair of functions a database.
DISPATCH = "def upgrade(engine_name):\n    globals()[f'upgrade_{engine_name}']()\n"


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """Make a second database."""
    other = Database(database.server, f"{database.name}_other")
    yield other
    other.drop()


def multidb(directory: Path, env: str, *databases: Database) -> Project:
    """Make a project for two databases."""
    project = Project(directory / "multidb", env)
    names = ("first", "second")
    sections = "".join(
        f"\n[{name}]\nsqlalchemy.url = {each.url('psycopg2').replace('%', '%%')}\n"
        for name, each in zip(names, databases, strict=True)
    )
    logging = "\n[loggers]\nkeys = root\n[handlers]\nkeys =\n[formatters]\nkeys =\n[logger_root]\nhandlers =\n"
    project.write(
        "alembic.ini", f"[alembic]\nscript_location = migrations\ndatabases = first, second\n{sections}{logging}"
    )
    return project


def add(project: Project, revision: str, first: str, second: str) -> None:
    """Add a revision of one statement for each database."""
    project.add(revision, "pass")
    path = project.migrations / "versions" / f"{revision}.py"
    functions = "".join(
        f"def upgrade_{name}():\n    op.execute({sql!r})\n\n" for name, sql in (("first", first), ("second", second))
    )
    path.write_text(path.read_text().replace("def upgrade():\n    pass\n", functions + DISPATCH))


def test_each_is_migrated_under_its_own_lock(
    tmp_path: Path, database: Database, other: Database, gate: CommandLine
) -> None:
    """Both end at head; while the second is migrated, the lock is held there too."""
    locks = "FROM pg_locks JOIN pg_database ON pg_database.oid = database WHERE locktype = 'advisory' AND datname = current_database()"
    project = multidb(tmp_path, TEMPLATE, database, other)
    add(project, "a1", "CREATE TABLE one (id int)", f"CREATE TABLE one AS SELECT count(*) AS locks {locks}")
    add(project, "b2", "CREATE TABLE two (id int)", "CREATE TABLE two (id int)")
    outcome = gate.run(project).expect(0)
    assert [event["current"] for event in outcome.named("verified")] == [["b2"], ["b2"]]
    assert [each.version() for each in (database, other)] == [["b2"], ["b2"]]
    assert (
        other.value("SELECT locks FROM one") == 2
    )  # the runner's lock, and the token by which env.py's database is known
    assert "lineage" in str(other.lineage())
    assert gate.run(project).expect(0).applied == []


def test_engines_of_the_application(tmp_path: Path, database: Database, other: Database, gate: CommandLine) -> None:
    """They outlive a run of env.py: nothing of that run listens to the first of them in the next one either."""
    env = f"""
import builtins
from alembic import context
from sqlalchemy import create_engine, text
urls = {[each.url("psycopg2") for each in (database, other)]!r}
builtins.engines = engines = getattr(builtins, "engines", None) or [create_engine(each) for each in urls]
for engine in engines:
    listeners = engine.dialect.dispatch if hasattr(engine.dialect.dispatch, "handle_error") else engine.dispatch
    assert not list(listeners.handle_error)
for engine in engines:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        context.configure(connection=connection)
        context.run_migrations()
"""
    for each in (database, other):
        each.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    reader = other.reader("accounts")
    gate.start(project).wait_behind(reader, revision="a1").expect(0)
    assert [each.version() for each in (database, other)] == [["a1"], ["a1"]]


def test_the_first_must_be_the_locks(tmp_path: Path, database: Database, other: Database, gate: CommandLine) -> None:
    """A URL names the first of them; with another one nothing is migrated."""
    project = multidb(tmp_path, TEMPLATE, other, database)
    add(project, "a1", "CREATE TABLE one (id int)", "CREATE TABLE one (id int)")
    gate.run(project).expect(14)
    assert not other.has("one")
    gate.run(project, url=None).expect(0)


def test_the_first_stays_guarded(tmp_path: Path, database: Database, other: Database, gate: CommandLine) -> None:
    """Its transaction keeps its locks while the second is migrated; whoever waits there for too long is let go."""
    database.execute("CREATE TABLE accounts (id int)")
    project = multidb(tmp_path, TEMPLATE, database, other)
    add(project, "a1", "ALTER TABLE accounts ADD x int", "SELECT pg_sleep(20)")
    run = gate.start(project)
    other.until_running("SELECT pg_sleep%")
    with database.connect("app", autocommit=False) as app:
        assert app.execute("SELECT count(*) FROM accounts").fetchone() == (0,)
    outcome = run.wait().expect(32)
    assert "app waited for the migration" in outcome.message
    assert [each.version() for each in (database, other)] == [[], []]


def test_each_is_verified(tmp_path: Path, database: Database, other: Database, gate: CommandLine) -> None:
    """An env.py that does not commit the first of them is found out, although the second is at head."""
    commit = 'rec["transaction"].commit()'
    env = TEMPLATE.replace(commit, f"rec['engine'].url.database == {database.name!r} or {commit}")
    project = multidb(tmp_path, env, database, other)
    add(project, "a1", "CREATE TABLE one (id int)", "CREATE TABLE one (id int)")
    gate.run(project).expect(43)
    assert [each.version() for each in (database, other)] == [[], ["a1"]]
