"""Finds the statement that a finding's line belongs to: what a baseline remembers, and what a diff has touched."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_LINE_END = re.compile(r"\r\n|\r|\n")  # Python's own; str.splitlines knows more


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceStatement:
    """The innermost statement at a line; of one with a body, its head."""

    first: int
    last: int
    text: str
    """Without indentation and line breaks."""


def statement_at(path: str, line: int) -> SourceStatement:
    """Return the statement at a line of a file; the line alone where the file is no Python."""
    source, spans = _read(path)
    first, last = min(
        ((first, last) for first, last in spans if first <= line <= last),
        key=lambda span: span[1] - span[0],
        default=(line, line),
    )
    return SourceStatement(first=first, last=last, text=" ".join(" ".join(source[first - 1 : last]).split()))


@lru_cache(maxsize=8)
def _read(path: str) -> tuple[list[str], list[tuple[int, int]]]:
    try:
        raw = Path(path).read_bytes()
    except OSError:
        return [], []
    try:
        spans = list(_spans(ast.parse(raw)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        spans = []
    return _LINE_END.split(raw.decode(errors="replace")), spans


def _spans(tree: ast.Module) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            head = body[0].lineno - 1 if body else 0
            yield node.lineno, max(node.lineno, head) if body else node.end_lineno or node.lineno
