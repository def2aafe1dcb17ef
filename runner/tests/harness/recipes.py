"""The recipes of docs/recipes.md, as their page tells them: what is there before, and each release's revisions and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs/recipes.md"
ROWS = 2000
"""How many rows each table has before; the nth is read as "text n"."""
_FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PARTS = re.compile(r"-- make\n(.*)-- change\n(.*)-- read\n(.*)", re.DOTALL)
_PARAMETER = re.compile(r"(?<!:):(id|text)\b")
_MODULE = '''"""{name}."""

import sqlalchemy as sa
from alembic import op

revision = {name!r}
down_revision = {before!r}
{body}'''


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a release does with the table, with `:id` and `:text` for what a request brings."""

    make: tuple[str, ...]
    """The first statement returns the id, which the others need."""
    change: str
    read: str


@dataclass(frozen=True, kw_only=True)
class RecipeRelease:
    """One release: the modules of its revisions without their heads, and its code."""

    revisions: tuple[str, ...]
    code: Code

    @property
    def contracts(self) -> bool:
        """Whether the code of the release before is shut out."""
        return any('"contract"' in body for body in self.revisions)

    @property
    def can_be_taken_back(self) -> bool:
        """Whether each of its revisions has a way back."""
        return not any("raise NotImplementedError" in body for body in self.revisions)


@dataclass(kw_only=True)
class Recipe:
    """One change; the first release is the code that is there before."""

    title: str
    before: tuple[str, ...] = ()
    """The statements that make the table."""
    releases: list[RecipeRelease] = field(default_factory=list)

    @property
    def table(self) -> str:
        """The table that is changed."""
        return self.before[0].split()[2]

    def history(self, releases: int, *, after: str | None = None) -> dict[str, str]:
        """Return the modules of the first releases' revisions by name; the first one follows ``after``."""
        bodies = [body for release in self.releases[:releases] for body in release.revisions]
        names = [f"r{number}" for number in range(1, len(bodies) + 1)]
        return {
            name: _MODULE.format(name=name, before=before, body=body)
            for name, before, body in zip(names, [after, *names], bodies, strict=False)
        }

    def reads(self, *codes: Code) -> str:
        """Return a query for each row's id and what each of ``codes`` reads of it."""
        read = ", ".join(f"({code.read.replace(':id', 'each.id')})" for code in codes)
        return f"SELECT each.id, {read} FROM {self.table} AS each ORDER BY 1"


def for_psycopg(statement: str) -> str:
    """Return a statement with its parameters as psycopg names them."""
    return _PARAMETER.sub(r"%(\1)s", statement)


def statements(text: str) -> tuple[str, ...]:
    """Return the statements of a text that has one a line, or more lines for one."""
    return tuple(each.strip() for each in text.split(";\n") if each.strip())


def read_recipes() -> Iterator[Recipe]:
    """Yield each recipe of the page."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        recipe = Recipe(title=section.partition("\n")[0])
        revisions: list[str] = []
        for language, what, text in _FENCE.findall(section):
            if what == "before":
                recipe.before = statements(text)
            elif language == "python":
                revisions.append(text)
            else:
                parts = _PARTS.fullmatch(text)
                assert parts, f"{recipe.title}: the code does not make, change and read:\n{text}"
                make, (change,), (read,) = (statements(part) for part in parts.groups())
                code = Code(make=make, change=change, read=read)
                recipe.releases.append(RecipeRelease(revisions=tuple(revisions), code=code))
                revisions = []
        assert not revisions, f"{recipe.title}: revisions without a release's code"
        if recipe.before:
            yield recipe
