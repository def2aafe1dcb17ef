"""The readiness that an application's probe asks for."""

import asyncio
from pathlib import Path

import alembic.util
import pytest
import sqlalchemy
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.readiness import SchemaReadiness, SchemaState
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def check(readiness: SchemaReadiness, database: Database, driver: str = "asyncpg") -> SchemaState:
    """Ask as a service does."""

    async def ask() -> SchemaState:
        engine = create_async_engine(database.url(driver), poolclass=NullPool)
        async with engine.connect() as connection:
            state = await readiness.check(connection)
        await engine.dispose()
        return state

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "driver",
    [
        "asyncpg",
        pytest.param("psycopg", marks=pytest.mark.skipif(sqlalchemy.__version__ < "2", reason="new in SQLAlchemy 2.0")),
    ],
)
def test_at_head(driver: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Ready at the revision that the code needs."""
    project.add("a1")
    gate.run(project).expect(0)
    readiness = SchemaReadiness.from_script_location(project.migrations)
    assert check(readiness, database, driver) == SchemaState(
        ready=True, reason="The database is at a1.", current=("a1",), required=("a1",)
    )


def test_before_the_first_revision(project: Project, database: Database) -> None:
    """Not ready without a version table."""
    project.add("a1")
    state = check(SchemaReadiness.from_script_location(project.migrations), database)
    assert (state.ready, state.reason) == (
        False,
        "The database is at no revision, this code needs a1: no revision was applied yet: there is no table alembic_version.",
    )


def test_behind(project: Project, database: Database, gate: CommandLine) -> None:
    """Not ready while a revision is pending."""
    project.add("a1")
    gate.run(project).expect(0)
    project.add("b2")
    state = check(SchemaReadiness.from_script_location(project.migrations), database)
    assert (state.ready, state.reason) == (
        False,
        "The database is at a1, this code needs b2: b2 is no ancestor of a1.",
    )


@pytest.mark.parametrize("contract", [False, True])
def test_ahead(contract: bool, project: Project, database: Database, gate: CommandLine) -> None:  # noqa: FBT001
    """Ready when known ahead, so that a rollback of the release brings pods back; not past a contract revision."""
    project.add("a1")
    project.add("b2", head="sage_migrate = {'phase': 'contract'}" if contract else "")
    gate.run(project).expect(0)
    project.remove("b2")
    state = check(SchemaReadiness.from_script_location(project.migrations), database)
    assert state.ready is not contract
    assert state.reason == (
        "The database is at b2, this code needs a1: the contract revision b2 was applied since."
        if contract
        else "The database is at b2, known to be ahead of a1."
    )


def test_a_version_table_of_another_name(tmp_path: Path, project: Project, database: Database) -> None:
    """The table and its schema are the project's own."""
    project.add("a1")
    database.execute('CREATE SCHEMA "Own"; CREATE TABLE "Own"."Versions" AS SELECT \'a1\'::varchar AS version_num')
    readiness = SchemaReadiness.from_script_location(
        project.migrations, version_table="Versions", version_table_schema="Own"
    )
    assert check(readiness, database).ready


def test_a_history_that_is_not_there(tmp_path: Path) -> None:
    """The service does not start with a wrong path."""
    with pytest.raises(alembic.util.CommandError):
        SchemaReadiness.from_script_location(tmp_path / "absent")
