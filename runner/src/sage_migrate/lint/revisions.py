"""Finds revisions by their files and puts them into the order of their history."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_REVISION = re.compile(rb"(?:^|;[ \t]*)revision\b[^=\n]*=", re.MULTILINE)
_DOWN = re.compile(rb"(?:^|;[ \t]*)down_revision\b[^=\n]*=", re.MULTILINE)
_IDENTIFIER = re.compile(rb"(?:^|;[ \t]*)revision\b[^=\n]*=\s*['\"]([^'\"]+)", re.MULTILINE)
_PARENTS = re.compile(rb"(?:^|;[ \t]*)down_revision\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|.*)", re.MULTILINE)
_QUOTED = re.compile(rb"['\"]([^'\"]+)['\"]")
# Of a long history, how many earlier revisions are read to know what a single file changes.
_ANCESTORS = 40
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{2,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A revision's file."""

    path: Path
    source: str
    tree: ast.Module
    identifier: str
    parents: tuple[str, ...]
    declared: dict[str, object]
    """The literal ``sage_migrate = {…}`` of the file."""


def is_revision(source: bytes) -> bool:
    """Tell whether a file is a revision, without parsing it."""
    return _REVISION.search(source) is not None and _DOWN.search(source) is not None


def read_revision_file(path: Path) -> Revision | None:
    """Return the revision in a file, None where it holds none.

    Raises:
        SyntaxError: the file is no Python.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return parse_revision(raw, path) if is_revision(raw) else None


def parse_revision(raw: bytes, path: Path) -> Revision:
    """Return the revision in ``raw``, the content of ``path``.

    Raises:
        SyntaxError: it is no Python.
    """
    try:
        tree = ast.parse(raw)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error)) from error
    constants = literals(tree)
    down = constants.get("down_revision")
    parents = (down,) if isinstance(down, str) else tuple(map(str, down)) if isinstance(down, (tuple, list)) else ()
    declared = constants.get("sage_migrate")
    return Revision(
        path=path,
        source=raw.decode(errors="replace"),
        tree=tree,
        identifier=str(constants.get("revision", path.stem)),
        parents=parents,
        declared=declared if isinstance(declared, dict) else {},
    )


def literals(tree: ast.Module) -> dict[str, object]:
    """Return the names that a module gives a literal value."""
    constants: dict[str, object] = {}
    for node in tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            try:
                constants[target.id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
    return constants


def in_order(revisions: Iterable[Revision]) -> list[Revision]:
    """Return revisions with parents first; equal ones by path."""
    waiting = sorted(revisions, key=lambda each: str(each.path))
    known = {(each.path.parent, each.identifier): each for each in waiting}
    done: dict[int, Revision] = {}
    for first in waiting:
        stack = [first]
        visiting: set[int] = set()
        while stack:
            each = stack[-1]
            parents = [known[each.path.parent, name] for name in each.parents if (each.path.parent, name) in known]
            missing = [parent for parent in parents if id(parent) not in done and id(parent) not in visiting]
            if missing:
                visiting.add(id(each))
                stack.append(missing[0])
            else:
                done.setdefault(id(each), each)
                stack.pop()
    return list(done.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a revision's file says of its place in the history, without being parsed."""

    path: Path
    parents: tuple[str, ...]
    raw: bytes


def read_headers(directory: Path) -> dict[str, Header]:
    """Return the revisions of a directory by identifier."""
    found: dict[str, Header] = {}
    for path in directory.glob("*.py"):
        try:
            raw = path.read_bytes()
        except OSError:
            continue
        if name := _IDENTIFIER.search(raw):
            down = _PARENTS.search(raw)
            parents = tuple(each.decode(errors="replace") for each in _QUOTED.findall(down[1])) if down else ()
            found[name[1].decode(errors="replace")] = Header(path=path, parents=parents, raw=raw)
    return found


def ancestors_that_matter(revision: Revision) -> list[Path]:
    """Return the earlier revisions beside ``revision`` that name something it names: what it changes was made there."""
    words = set(_WORD.findall(revision.source.encode())) - _common_words()
    headers = read_headers(revision.path.parent)
    found: list[Path] = []
    waiting, seen = list(revision.parents), {revision.identifier}
    while waiting and len(found) < _ANCESTORS:
        name = waiting.pop(0)
        if name in seen or name not in headers:
            continue
        seen.add(name)
        header = headers[name]
        if words & set(_WORD.findall(header.raw)):
            found.append(header.path)
        waiting += header.parents
    return found


def _common_words() -> set[bytes]:
    return set(
        b"alembic op sa sqlalchemy revision down_revision branch_labels depends_on upgrade downgrade None def import from Revises Create Date"  # noqa: E501
        b" Column String Integer nullable True False add_column drop_column create_table drop_table create_index execute text Text typing"
        b" Union Sequence str commands auto generated please adjust end Alembic unique primary_key PrimaryKeyConstraint ForeignKeyConstraint"  # noqa: E501
        b" DateTime Boolean length batch_alter_table batch_op schema name type server_default alter_column existing_type type_ with postgresql dialects"  # noqa: E501
        b" identifiers used the and for ALTER TABLE created_at updated_at id uuid now func UUID".split()
    )
