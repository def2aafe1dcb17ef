"""No exit 0 without the version table at the target, whatever env.py does with an error."""

from pathlib import Path

import pytest
from harness.command import CommandLine
from harness.env_files import ASYNC, HEAD, SYNC
from harness.postgres import Database
from harness.project import Project

CONNECT = f"""{HEAD}
engine = engine_from_config(config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
"""
NEVER = """
env.py returned without running any migration: it did not call context.run_migrations() on a connection.
 Nothing was applied by this run. See what env.py decides on before that (a variable, an argument), and set it for the runner.
""".replace("\n", "")


def migrate(tmp_path: Path, env: str) -> Project:
    """Make a project with one revision and this env.py."""
    project = Project(tmp_path / "other", env)
    project.add("a1", "CREATE TABLE one (id int)")
    return project


@pytest.mark.parametrize(
    "env",
    [
        "print('nothing to do today')",
        f"{CONNECT}\nwith engine.connect() as connection:\n    context.configure(connection=connection)\n",
        f"{HEAD}\nimport os\nif os.environ.get('RUN_MIGRATIONS') == '1':\n    raise AssertionError\n",
    ],
    ids=["does nothing", "only configures", "decides on a variable"],
)
def test_an_env_py_that_never_runs_migrations(env: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It raises nothing, and the gate says what is missing."""
    outcome = gate.run(migrate(tmp_path, env)).expect(43)
    assert outcome.message == NEVER
    assert database.version() == []


def test_an_env_py_that_only_writes_sql(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """Offline mode in disguise: a URL instead of a connection changes no database."""
    env = f"""{HEAD}
context.configure(dialect_name="postgresql", as_sql=True)
with context.begin_transaction():
    context.run_migrations()
"""
    gate.run(migrate(tmp_path, env)).expect(43)
    assert database.version() == []


def test_an_env_py_that_rolls_back(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An outer transaction that nobody commits: the revision seemed applied and is not there."""
    env = f"""{CONNECT}
with engine.connect() as connection:
    transaction = connection.begin()
    context.configure(connection=connection)
    context.run_migrations()
    transaction.rollback()
"""
    outcome = gate.run(migrate(tmp_path, env)).expect(43)
    assert outcome.message == (
        "The version table holds nothing, and this run's target was a1. Nothing was applied by this run. "
        "env.py swallowed an error or rolled the transaction back: let it re-raise, and commit."
    )
    assert outcome.named("finished") == []
    assert database.version() == []


@pytest.mark.parametrize("env", [SYNC, ASYNC], ids=["sync", "async"])
def test_an_env_py_that_swallows_an_error(env: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """The error itself is reported, with its own status."""
    swallowing = env.replace(
        "        with context.begin_transaction():\n            context.run_migrations()\n",
        "        try:\n            with context.begin_transaction():\n                context.run_migrations()\n"
        "        except Exception as error:\n            print('ignored', type(error).__name__)\n",
    ).replace(
        "    with context.begin_transaction():\n        context.run_migrations()\n\nasync",
        "    try:\n        with context.begin_transaction():\n            context.run_migrations()\n"
        "    except Exception as error:\n        print('ignored', type(error).__name__)\n\nasync",
    )
    project = Project(tmp_path / "other", swallowing)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "SELECT 1/0")
    outcome = gate.run(project).expect(40)
    assert (
        "ignored ProgrammingError" in outcome.stdout
        or "ignored DataError" in outcome.stdout
        or "ignored DBAPIError" in outcome.stdout
    )
    assert outcome.message == (
        "Revision b2 failed: division by zero (SQLSTATE 22012) in: SELECT ?/?. "
        "Applied by this run, and staying so: a1. b2 was rolled back whole. "
        "Correct the revision, try it on a copy of the database, and release again."
    )
    assert outcome.one("error_swallowed_by_env")["level"] == "warning"
    assert database.version() == ["a1"]


def test_a_version_table_that_somebody_changed(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """What env.py does after the migrations counts too."""
    env = f"""{CONNECT}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
with engine.begin() as connection:
    connection.execute(text("DELETE FROM alembic_version"))
"""
    outcome = gate.run(migrate(tmp_path, env)).expect(43)
    assert outcome.message.startswith("The version table holds nothing, and this run's target was a1. ")
