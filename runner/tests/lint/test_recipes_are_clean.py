"""What the documentation recommends, the linter accepts."""

import ast
from pathlib import Path

import pytest
from harness.recipes import Recipe, read_recipes
from labelled_revisions import _HEADER
from sage_migrate.lint.check import check_revision
from sage_migrate.lint.revisions import Revision
from sage_migrate.lint.schema import Schema
from sage_migrate.lint.sql import parse


@pytest.mark.parametrize("recipe", list(read_recipes()), ids=lambda recipe: recipe.title)
def test_recipes_are_clean(recipe: Recipe) -> None:
    """No finding in any revision, on the tables that were there before."""
    schema = Schema()
    for parsed in parse(";\n".join(recipe.before)):
        for action in parsed.actions:
            schema.apply(action)
    for release in recipe.releases:
        for body in release.revisions:
            source = _HEADER.format(name="recipe") + body
            declared: dict[str, object] = {"phase": "contract"} if '"contract"' in body else {}
            revision = Revision(
                path=Path("recipe.py"),
                source=source,
                tree=ast.parse(source),
                identifier="recipe",
                parents=("base",),
                declared=declared,
            )
            assert [f"{each.code} {each.message}" for each in check_revision(revision, schema, set())] == []
