"""The short way to "nothing to do": only where a full run proved it, and the same answer as that run's."""

from collections.abc import Callable

import pytest
from harness.command import CommandLine, Outcome
from harness.env_files import HEAD
from harness.postgres import Database
from harness.project import Project


@pytest.fixture
def at_head(project: Project, gate: CommandLine) -> Project:
    """Bring the database to the project's head by a full run."""
    project.add("a1", "CREATE TABLE accounts (id int)")
    assert was_full(gate.run(project, "upgrade").expect(0))
    return project


def was_full(outcome: Outcome) -> bool:
    """Tell whether the full path gave the answer."""
    return not outcome.named("at_head")


def test_env_is_not_run_again(at_head: Project, database: Database, gate: CommandLine) -> None:
    """The second run says the same as the first and touches nothing, env.py included."""
    lineage = database.lineage()
    outcome = gate.run(at_head, "upgrade").expect(0)
    assert outcome.one("at_head")["current"] == ["a1"]
    assert outcome.one("finished")["outcome"] == "nothing to do"
    assert not outcome.named("plan")
    assert database.lineage() == lineage


def test_it_can_be_switched_off(at_head: Project, gate: CommandLine) -> None:
    """`--fast-path off` asks env.py each time."""
    assert was_full(gate.run(at_head, "upgrade", "--fast-path", "off").expect(0))


def _edit_env(project: Project) -> None:
    env = project.migrations / "env.py"
    env.write_text(env.read_text() + "\n# edited\n")


def _edit_revision(project: Project) -> None:
    path = next((project.migrations / "versions").glob("*.py"))
    path.write_text(path.read_text() + "\n# edited\n")


def _add_module(project: Project) -> None:
    (project.migrations / "shared.py").write_text("SCHEMA = 'public'\n")


@pytest.mark.parametrize("change", [_edit_env, _edit_revision, _add_module])
def test_a_changed_file_takes_the_full_path(
    at_head: Project, gate: CommandLine, change: Callable[[Project], None]
) -> None:
    """Whatever Alembic may read decides; the full run proves it anew for the next one."""
    change(at_head)
    assert was_full(gate.run(at_head, "upgrade").expect(0))
    assert not was_full(gate.run(at_head, "upgrade").expect(0))


def test_a_changed_variable_takes_the_full_path(at_head: Project, gate: CommandLine) -> None:
    """env.py may read any variable of the environment."""
    assert was_full(gate.run(at_head, "upgrade", TENANT="two").expect(0))


def test_a_broken_history_is_still_refused(at_head: Project, gate: CommandLine) -> None:
    """A file that no longer loads is noticed, although its revision is applied."""
    (at_head.migrations / "versions" / "b2.py").write_text("def upgrade(:\n")
    gate.run(at_head, "upgrade").expect(20)


def test_a_pending_revision_is_applied(at_head: Project, database: Database, gate: CommandLine) -> None:
    """A proof is of its own history alone."""
    at_head.add("b2", "CREATE TABLE orders (id int)")
    gate.run(at_head, "upgrade").expect(0)
    assert database.version() == ["b2"]


def test_a_moved_version_table_takes_the_full_path(at_head: Project, database: Database, gate: CommandLine) -> None:
    """The version table is read each time: a stamp or a downgrade by hand counts."""
    database.execute("DELETE FROM alembic_version")
    database.execute("DROP TABLE accounts")
    gate.run(at_head, "upgrade").expect(0)
    assert database.has("accounts")


def test_a_read_only_target_is_refused(at_head: Project, database: Database, gate: CommandLine) -> None:
    """The checks of the server are those of the full path."""
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    gate.run(at_head, "upgrade").expect(12)


def test_a_copy_of_the_database_is_proved_by_its_own_run(
    at_head: Project, database: Database, gate: CommandLine
) -> None:
    """A proof that came with a dump names another database, and does not count."""
    database.execute(f"CREATE DATABASE {database.name}_copy TEMPLATE {database.name}")
    url = database.url().replace(database.name, f"{database.name}_copy")
    try:
        assert was_full(gate.run(at_head, "upgrade", url=url).expect(0))
        assert not was_full(gate.run(at_head, "upgrade", url=url).expect(0))
    finally:
        database.execute(f"DROP DATABASE {database.name}_copy WITH (FORCE)")


def test_a_directory_that_is_a_link_takes_the_full_path(
    at_head: Project, database: Database, gate: CommandLine
) -> None:
    """What is behind a link may change: a revision that is added there is applied."""
    versions = at_head.migrations / "versions"
    elsewhere = at_head.directory / "elsewhere"
    versions.rename(elsewhere)
    versions.symlink_to(elsewhere)
    gate.run(at_head, "upgrade").expect(0)
    at_head.add("b2", "CREATE TABLE orders (id int)")
    gate.run(at_head, "upgrade").expect(0)
    assert database.version() == ["b2"]


@pytest.mark.parametrize("loop", ["for tenant in tenants: migrate(tenant)", "[migrate(tenant) for tenant in tenants]"])
def test_tenants_that_the_database_lists(loop: str, project: Project, database: Database, gate: CommandLine) -> None:
    """A tenant that is new since the proof is migrated: only env.py knows of it, also where it was the only one."""
    database.execute("CREATE SCHEMA one; CREATE TABLE tenant AS SELECT 'one' AS name")
    project.write(
        "migrations/env.py",
        f"""{HEAD}
def engine(search_path):
    section = config.get_section("alembic")
    return engine_from_config(section, poolclass=pool.NullPool, connect_args={{"options": f"-csearch_path={{search_path}}"}})

with engine("public").connect() as connection:
    tenants = [*connection.execute(text("SELECT name FROM tenant")).scalars()]

def migrate(tenant):
    with engine(tenant).connect() as connection:
        context.configure(connection=connection, version_table_schema=tenant)
        with context.begin_transaction():
            context.run_migrations()

{loop}
""",
    )
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    database.execute("CREATE SCHEMA two; INSERT INTO tenant VALUES ('two')")
    outcome = gate.run(project).expect(0)
    assert not outcome.named("at_head")
    assert [database.version(f"{tenant}.alembic_version") for tenant in ("one", "two")] == [["a1"], ["a1"]]
