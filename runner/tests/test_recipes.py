"""The recipes of the documentation, run as their page says: old code and new on each schema, through the gate."""

import psycopg
import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from harness.recipes import Recipe, RecipeRelease, read_recipes

RECIPES = list(read_recipes())
_REVISION = '''"""{name}."""

import sqlalchemy as sa
from alembic import op

revision = {name!r}
down_revision = {before!r}
{body}'''


def runs(database: Database, release: RecipeRelease) -> None:
    """Run the statements of a release's code, none of them prepared: the page says what that would take."""
    database.session.prepare_threshold = None
    for statement in release.code:
        try:
            database.execute(statement)
        except psycopg.Error as error:
            raise AssertionError(f"{statement}\n{error}") from error


def test_there_are_recipes() -> None:
    """The page is found, and its shape is understood."""
    titles = ["Make a column NOT NULL", "Rename a column", "Widen an integer key", "Split a table"]
    assert [recipe.title for recipe in RECIPES] == titles
    assert all(len(recipe.releases) > 2 for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_each_release_serves_beside_the_one_before(
    recipe: Recipe, project: Project, database: Database, gate: CommandLine
) -> None:
    """After each revision the old code still works; then the new one; then the old one again, unless it contracts."""
    for statement in recipe.before.split(";\n"):
        if statement.strip():
            database.execute(statement)
    runs(database, recipe.releases[0])
    number, before = 0, None
    for old, new in zip(recipe.releases, recipe.releases[1:], strict=False):
        for body in new.revisions:
            number += 1
            name = f"r{number}"
            (project.migrations / "versions" / f"{name}.py").write_text(
                _REVISION.format(name=name, before=before, body=body)
            )
            gate.run(project, "upgrade").expect(0)
            before = name
            runs(database, old)
        runs(database, new)
        if not any("contract" in body for body in new.revisions):
            runs(database, old)
