"""The recipes of the documentation, run as their page says: old code and new on each schema, through the gate."""

from itertools import islice, pairwise

import psycopg
import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from harness.recipes import ROWS, Code, Recipe, for_psycopg, read_recipes

RECIPES = list(read_recipes())


def serve(database: Database, code: Code) -> None:
    """Do what a release's code does, none of it prepared: the page says what that would take."""
    database.session.prepare_threshold = None

    def run(statement: str, **given: object) -> psycopg.Cursor[tuple[object, ...]]:
        try:
            return database.session.execute(for_psycopg(statement).encode(), given)
        except psycopg.Error as error:
            raise AssertionError(f"{statement}\n{error}") from error

    def read(row: object) -> list[tuple[object, ...]]:
        return run(code.read, id=row).fetchall()

    first, *others = code.make
    (made,) = run(first, text="made").fetchall()[0]
    for statement in others:
        run(statement, text="made", id=made)
    assert read(made) == [("made",)], code.make
    assert run(code.change, text="changed", id=made).rowcount == 1, code.change
    assert read(made) == [("changed",)], code.change
    assert read(ROWS) == [(f"text {ROWS}",)], code.read


def test_there_are_recipes() -> None:
    """The page is found, and its shape is understood."""
    titles = ["Make a column NOT NULL", "Rename a column", "Widen an integer key", "Split a table"]
    assert [recipe.title for recipe in RECIPES] == titles
    assert all(len(recipe.releases) > 2 for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_each_release_serves_beside_the_one_before(
    recipe: Recipe, project: Project, database: Database, gate: CommandLine
) -> None:
    """After each revision the old code still works; then the new one, and the old one again, also when the schema was taken back."""
    for statement in recipe.before:
        database.execute(statement)
    serve(database, recipe.releases[0].code)
    history = recipe.history(len(recipe.releases))
    names = iter(history)
    base = "base"
    for old, new in pairwise(recipe.releases):
        revisions = list(islice(names, len(new.revisions)))
        for taken_back in (False, True):
            for revision in revisions:
                project.write(f"migrations/versions/{revision}.py", history[revision])
                gate.run(project, "upgrade").expect(0)
                serve(database, old.code)
            serve(database, new.code)
            serve(database, old.code)
            assert [row for row in database.rows(recipe.reads(old.code, new.code)) if row[1] != row[2]] == []
            if taken_back or not revisions or not new.can_be_taken_back:
                break
            gate.run(project, "downgrade", base).expect(0)
            project.remove(*revisions)
            serve(database, old.code)
        base = revisions[-1] if revisions else base
