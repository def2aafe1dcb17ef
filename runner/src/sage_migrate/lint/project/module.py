"""One Python file: its text at once, its syntax tree and scopes when somebody asks."""

import ast
import io
import tokenize
import warnings
from functools import cached_property
from pathlib import Path

from sage_migrate.lint.project.scopes import Scope, Scopes, read_scopes

_TOO_LONG = 2_000_000  # bytes: such a file is data that somebody wrote as Python
_TEST_DIRECTORIES = frozenset(("test", "tests", "testing"))


class Module:
    """A module of a project. It is read, never imported."""

    def __init__(self, path: Path, inside: tuple[str, ...] = ()) -> None:
        """Read the file at ``path``; ``inside`` are the directories between what was asked for and the file.

        Raises:
            OSError: it cannot be read.
        """
        self.path = path
        raw = path.read_bytes()
        self._raw = raw if len(raw) <= _TOO_LONG else b""
        self._inside = inside
        self.error = "" if self._raw or not raw else "it is too long"
        """Why there is no syntax tree."""

    def __repr__(self) -> str:
        """Name the file."""
        return f"Module({str(self.path)!r})"

    @cached_property
    def source(self) -> str:
        """The text, in the encoding that the file declares."""
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(self._raw).readline)
            return self._raw.decode(encoding, errors="replace")
        except (SyntaxError, LookupError):
            return self._raw.decode(errors="replace")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; an empty one, and `error` says why, where the file is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of invalid escapes, say, which are not our business
                return ast.parse(self._raw)
        except (SyntaxError, ValueError, RecursionError, MemoryError, LookupError) as error:
            self.error = getattr(error, "msg", None) or str(error) or type(error).__name__
            return ast.Module(body=[], type_ignores=[])

    @cached_property
    def _scopes(self) -> Scopes:
        return read_scopes(self)

    @property
    def scope(self) -> Scope:
        """The scope of the module itself."""
        return self._scopes.owner[self.tree]

    def scope_of(self, node: ast.AST) -> Scope:
        """Return the scope in which the names of ``node`` are looked up; for what has a scope of its own, that one."""
        return self._scopes.inner.get(node) or self._scopes.owner[node]

    def scope_around(self, node: ast.AST, default: Scope | None = None) -> Scope:
        """Return the scope in which ``node`` stands; ``default`` for a node that is not of this file."""
        return self._scopes.owner.get(node) or default or self.scope

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that ``node`` is a part of."""
        return self._scopes.parents.get(node)

    @property
    def is_package(self) -> bool:
        """Whether this is a package's `__init__`."""
        return self.path.stem == "__init__"

    @cached_property
    def directory(self) -> Path:
        """The directory that it is in."""
        return self.path.absolute().parent

    @cached_property
    def root(self) -> Path:
        """The directory that holds the outermost package of this module."""
        directory = self.directory
        while (directory / "__init__.py").is_file() and directory.parent != directory:
            directory = directory.parent
        return directory

    @cached_property
    def name(self) -> str:
        """The dotted name, as far as packages and the place where the search began tell it."""
        parts = [*self.path.absolute().relative_to(self.root).with_suffix("").parts]
        if len(parts) < len(self._inside) + 1:
            parts = [*self._inside, self.path.stem]
        if "src" in parts[:-1]:
            parts = parts[len(parts) - 1 - parts[-2::-1].index("src") :]
        if self.is_package and len(parts) > 1:
            parts.pop()
        return ".".join(parts)

    @cached_property
    def is_test(self) -> bool:
        """Whether tests are what this module is for: its name, its directory, or that it imports pytest, says so."""
        stem = self.path.stem
        return (
            stem.startswith("test_")
            or stem.endswith("_test")
            or stem == "conftest"
            or not _TEST_DIRECTORIES.isdisjoint((*self._inside, *self.name.split(".")[:-1], self.path.parent.name))
            or "import pytest" in self.source
            or "from pytest" in self.source
            or "from unittest" in self.source
            or "import unittest" in self.source
        )

    @cached_property
    def is_alembic_environment(self) -> bool:
        """Whether this is an env.py of Alembic's, which runs alone in its process."""
        return (self.path.stem == "env" and "run_migrations" in self.source) or "context.run_migrations(" in self.source
