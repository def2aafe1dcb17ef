"""Finds what a revision takes in from the migrations tree: modules that it imports, and files that it names."""

import ast
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from sage_migrate.reviewed import MANIFEST

_LEVELS = 8
_FILE_NAME = re.compile(r"(?:.*[/\\])?([\w-][\w.-]*\.\w{1,8})")
_LOADERS = ("import_module", "__import__")


class MigrationsTree:
    """The directories of a project's migrations, looked at once."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        """Prepare to look below ``roots``."""
        self._roots = roots
        self._found: dict[tuple[str, Path], tuple[Path, ...]] = {}

    def taken_in(self, path: Path, tree: ast.Module) -> list[Path]:
        """Return the files here that the revision at ``path`` imports or names, and those that they do, sorted."""
        found: set[Path] = set()
        waiting = [(path, tree)]
        while waiting:
            file, parsed = waiting.pop()
            for each in self._named_in(file, parsed):
                if each == path or each in found:
                    continue
                found.add(each)
                if each.suffix == ".py":
                    try:
                        waiting.append((each, ast.parse(each.read_bytes())))
                    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                        continue
        return sorted(found)

    def _named_in(self, file: Path, tree: ast.Module) -> Iterator[Path]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._modules(alias.name, file.parent)
            elif isinstance(node, ast.ImportFrom):
                start = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else file.parent
                for alias in node.names:
                    yield from self._modules(f"{node.module or ''}.{alias.name}".strip("."), start)
            elif isinstance(node, ast.Call) and _is_loader(node.func) and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield from self._modules(name.value.strip("."), file.parent)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                match = _FILE_NAME.fullmatch(node.value)
                if match:
                    yield from self._data_files.get(match[1], ())

    def _modules(self, dotted: str, start: Path) -> tuple[Path, ...]:
        """Return every file here that ``dotted`` may stand for, its packages included.

        sys.path is known only at run time, so each directory from ``start`` upwards is taken for a part of it.
        """
        if (dotted, start) not in self._found:
            parts = dotted.split(".")
            places = [
                directory.joinpath(*parts[:length])
                for directory in (start, *list(start.parents)[:_LEVELS])
                for length in range(1, len(parts) + 1)
            ]
            files = [file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")]
            self._found[dotted, start] = tuple(file for file in files if self._is_here(file) and file.is_file())
        return self._found[dotted, start]

    def _is_here(self, file: Path) -> bool:
        return any(file.is_relative_to(root) for root in self._roots)

    @cached_property
    def _data_files(self) -> dict[str, list[Path]]:
        """The files that are no Python, by name."""
        found: dict[str, list[Path]] = {}
        for root in self._roots:
            for directory, folders, names in os.walk(root):
                folders[:] = [each for each in folders if each != "__pycache__"]
                for name in names:
                    if not name.endswith((".py", ".pyc")) and name != MANIFEST:
                        found.setdefault(name, []).append(Path(directory) / name)
        return found


def _is_loader(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _LOADERS
