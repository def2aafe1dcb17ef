"""Finds the file of a module that a revision imports, by path, never by importing it."""

import ast
from functools import lru_cache
from pathlib import Path

_LEVELS = 8


@lru_cache(maxsize=1024)
def find_module(dotted: str, beside: Path) -> Path | None:
    """Return the file of ``dotted``, looked for in the directories above ``beside``."""
    parts = dotted.split(".")
    for directory in list(beside.parents)[:_LEVELS]:
        if directory.name == "site-packages":
            return None
        for found in (directory.joinpath(*parts).with_suffix(".py"), directory.joinpath(*parts, "__init__.py")):
            if found.is_file():
                return found
        if (directory / "src").joinpath(*parts).with_suffix(".py").is_file():
            return (directory / "src").joinpath(*parts).with_suffix(".py")
    return None


@lru_cache(maxsize=1024)
def parse_module(path: Path) -> ast.Module | None:
    """Return the syntax tree of a file, None where it has none."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
