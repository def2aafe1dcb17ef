"""The version row is written by one statement for all revisions, and comes out as Alembic's own would have written it."""

from pathlib import Path

import pytest
from harness.command import CommandLine
from harness.env_files import ASYNC, STYLES, SYNC, Style
from harness.postgres import Database
from harness.project import Project

LISTENING = """
import pathlib
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "before_cursor_execute")
def note(connection, cursor, statement, *_):
    if statement.startswith("UPDATE"):
        with pathlib.Path("updates").open("a") as file:
            print(statement, file=file)
"""
PREPARING = Style("asyncpg", ASYNC)
LONG = "a_revision_whose_id_is_longer_than_the_column_that_alembic_makes"


def updates(project: Project) -> list[str]:
    """Return the updates that a listening env.py has noted."""
    return project.directory.joinpath("updates").read_text().splitlines()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_every_revision_moves_the_row_by_the_same_statement(
    style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """There and back: what SQLAlchemy has compiled, and a driver prepared, for one revision serves them all."""
    project = Project(tmp_path / "other", LISTENING + style.env)
    for number in range(8):
        project.add(f"r{number}", f"CREATE TABLE t{number} (id int)", downgrade=f"op.drop_table('t{number}')")
    gate.run(project, url=database.url(style.driver)).expect(0)
    assert database.version() == ["r7"]
    gate.run(project, "downgrade", "r0", url=database.url(style.driver)).expect(0)
    assert database.version() == ["r0"]
    assert len(updates(project)) == 14
    assert len(set(updates(project))) == 1


@pytest.mark.parametrize("drop", ["DISCARD ALL", "-- all of it\\nDEALLOCATE ALL"], ids=["discard", "deallocate"])
@pytest.mark.parametrize("style", [PREPARING, STYLES[1]], ids=lambda style: style.name)
def test_a_revision_that_drops_what_was_prepared(
    style: Style, drop: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The next revision's row is written by a statement that is prepared anew."""
    project = Project(tmp_path / "other", style.env)
    for number in range(1, 8):
        project.add(f"a{number}", f"CREATE TABLE a{number} (id int)")
    project.add("b", f'with op.get_context().autocommit_block():\n    op.execute("{drop}")')
    project.add("c", "CREATE TABLE c (id int)")
    gate.run(project, url=database.url(style.driver)).expect(0)
    assert database.version() == ["c"]


@pytest.mark.parametrize("style", [PREPARING, STYLES[0]], ids=lambda style: style.name)
def test_an_id_that_the_column_cannot_hold(style: Style, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It is refused, never cut; and written whole where a revision has widened the column."""
    project = Project(tmp_path / "other", style.env)
    project.add("a", "CREATE TABLE a (id int)")
    project.add(LONG, "CREATE TABLE b (id int)")
    outcome = gate.run(project, url=database.url(style.driver)).expect(40)
    assert outcome.failed["sqlstate"] == "22001"
    assert database.version() == ["a"]
    database.execute("ALTER TABLE alembic_version ALTER version_num TYPE varchar(255)")
    project.add("c", "CREATE TABLE c (id int)")
    gate.run(project, url=database.url(style.driver)).expect(0)
    assert database.version() == ["c"]


def test_a_row_that_a_revision_took_away(project: Project, database: Database, gate: CommandLine) -> None:
    """The revision is rolled back, as Alembic would."""
    project.add("a", "CREATE TABLE a (id int)")
    project.add("b", "DELETE FROM alembic_version")
    outcome = gate.run(project).expect(40)
    assert outcome.message == (
        "Revision b raised CommandError at env.py line 19: The version table 'alembic_version' has 0 rows at 'a', which was to become 'b'. "
        "Applied by this run, and staying so: a. b was rolled back whole. "
        "Correct it and release again; --debug shows the traceback."
    )
    assert database.version() == ["a"]


@pytest.mark.parametrize(
    "own",
    [
        "class Own(migration.HeadMaintainer):\n    pass\nmigration.HeadMaintainer = Own",
        "migration.HeadMaintainer._update_version = lambda self, *ids: theirs(self, *ids)",
    ],
    ids=["class", "method"],
)
def test_what_env_py_replaced_is_let_be(own: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An env.py that has changed how Alembic writes its row gets what it asked for."""
    head = f"from alembic.runtime import migration\ntheirs = migration.HeadMaintainer._update_version\n{own}\n"
    project = Project(tmp_path / "other", LISTENING + head + SYNC)
    for number in range(3):
        project.add(f"r{number}", f"CREATE TABLE t{number} (id int)")
    gate.run(project).expect(0)
    assert database.version() == ["r2"]
    assert len(set(updates(project))) == 2
