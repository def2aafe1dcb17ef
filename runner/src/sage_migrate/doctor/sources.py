"""The project's own Python files, without tests, environments and what tools leave behind."""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_SKIPPED = re.compile(r"\..*|__pycache__|node_modules|site-packages|tests?|build|dist|.*\.egg-info")
_TEST = re.compile(r"conftest\.py|test_.*\.py|.*_test\.py")
# A directory that holds more is no project's, but a whole machine's.
_MOST_FILES = 20_000


@dataclass(frozen=True)
class Source:
    """One file."""

    path: Path
    text: str

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of its syntax tree; none where it is no Python."""
        try:
            return tuple(ast.walk(ast.parse(self.text)))
        except (SyntaxError, ValueError, RecursionError):
            return ()

    def attributes(self, name: str) -> Iterator[int]:
        """Yield the lines in which an attribute of this name is read or called."""
        if name in self.text:
            yield from sorted(
                node.lineno for node in self.nodes if isinstance(node, ast.Attribute) and node.attr == name
            )


def read_sources(root: Path) -> tuple[Source, ...]:
    """Read all of them below ``root``."""
    found: list[Source] = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(
            name for name in names if not _SKIPPED.fullmatch(name) and not Path(directory, name, "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if name.endswith(".py") and not _TEST.fullmatch(name) and len(found) < _MOST_FILES:
                path = Path(directory, name)
                try:
                    found.append(Source(path, path.read_text(encoding="utf-8", errors="replace")))
                except OSError:
                    continue
    return tuple(found)
