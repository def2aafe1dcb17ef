"""The revisions of a project as the gate sees them: what each does, as a hash, and what of it asks for a review."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sage_migrate.lint.project.files import find_files
from sage_migrate.lint.revisions import is_revision, literals, parse_revision
from sage_migrate.review.content import content_hash, own_hash
from sage_migrate.review.entries import Flaw
from sage_migrate.review.imports import MigrationsTree
from sage_migrate.review.locations import Locations

_SHORTEST = 4
_IDENTIFIER = re.compile(rb"^revision\b[^=\n]*=\s*[\"']([^\"'\n]+)[\"']", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ReviewedRevision:
    """A revision's file, as it is or as it was."""

    identifier: str
    path: Path
    source: bytes
    tree: ast.Module
    parents: tuple[str, ...]
    declared: dict[str, object]
    migrations: MigrationsTree
    on_base: bool = False
    """Whether the base has it too, with other content."""

    @cached_property
    def own(self) -> str:
        """The hash of the file alone."""
        return own_hash(self.source, self.tree)

    @cached_property
    def taken_in(self) -> tuple[Path, ...]:
        """The files of the migrations tree that it imports or names."""
        return tuple(self.migrations.taken_in(self.path, self.tree))

    @cached_property
    def content(self) -> str:
        """The hash of all that it does."""
        return content_hash(self.source, self.tree, {path: path.read_bytes() for path in self.taken_in})

    @property
    def is_contract(self) -> bool:
        """Whether pods of the previous release may not survive it."""
        return self.declared.get("phase") == "contract"

    @property
    def only_joins(self) -> bool:
        """Whether it joins heads and does nothing: there is nothing to review."""
        return len(self.parents) > 1 and not any(_acts(node) for node in self.tree.body)


def read_revision(path: Path, source: bytes, locations: Locations) -> ReviewedRevision | Flaw | None:
    """Return the revision in ``source``; what is wrong with it; None where the file is none."""
    # Every Python file directly in a version location is a revision to Alembic.
    expected = path.parent in locations.versions and path.name != "__init__.py" and not path.name.startswith(".#")
    if not expected and not is_revision(source):
        return None
    try:
        found = parse_revision(source, path)
    except SyntaxError as error:
        return Flaw(path=path, line=error.lineno or 1, message=f"This revision is no Python: {error.msg}.")
    if not isinstance(literals(found.tree).get("revision"), str):
        return Flaw(
            path=path,
            line=1,
            message='Alembic takes this file for a revision, and no `revision = "…"` stands in it.',
            help="Instead: write the id as a literal, or move the file out of the versions.",
        )
    return ReviewedRevision(
        identifier=found.identifier,
        path=path,
        source=source,
        tree=found.tree,
        parents=found.parents,
        declared=found.declared,
        migrations=locations.migrations,
    )


def read_all(locations: Locations) -> tuple[list[ReviewedRevision], list[Flaw]]:
    """Return every revision of the working tree, by path."""
    found = [read_revision(path, path.read_bytes(), locations) for path in find_files(locations.versions)]
    return [each for each in found if isinstance(each, ReviewedRevision)], [
        each for each in found if isinstance(each, Flaw)
    ]


def known_identifiers(locations: Locations) -> dict[str, Path]:
    """Return the ids of the working tree, without parsing a file."""
    matches = ((path, _IDENTIFIER.search(path.read_bytes())) for path in find_files(locations.versions))
    return {match[1].decode(errors="replace"): path for path, match in matches if match}


def ancestors(revisions: Iterable[ReviewedRevision], of: Iterable[str]) -> set[str]:
    """Return the ids in ``of`` and all that they follow; an id may be abbreviated."""
    parents = {each.identifier: each.parents for each in revisions}
    found: set[str] = set()
    # Abbreviated as Alembic allows it.
    waiting = [
        name
        for given in of
        for name in parents
        if name == given or (len(given) >= _SHORTEST and name.startswith(given))
    ]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += parents.get(name, ())
    return found


def _acts(node: ast.stmt) -> bool:
    """Tell whether a statement of a module does more than import, name something, or declare an empty function."""
    if isinstance(node, ast.FunctionDef):
        return bool(node.decorator_list) or not all(_is_idle(each) for each in node.body)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return any(isinstance(each, ast.Call) for each in ast.walk(node))
    return not isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_idle(node)


def _is_idle(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
