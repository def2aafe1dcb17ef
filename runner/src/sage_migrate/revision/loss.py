"""What of a revision destroys data, and the reason for which it may: written where the linter and the reviewer look."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HAZARD = "data_loss"


def losses(violations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those of lint's findings that say that rows, columns, tables or characters are gone."""
    return [each for each in violations if HAZARD in each["hazards"]]


def write_reason(path: Path, found: Iterable[Mapping[str, Any]], reason: str) -> None:
    """Write an ignore with ``reason`` above each statement that is found."""
    source = path.read_text(encoding="utf-8")
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    codes: dict[int, set[str]] = defaultdict(set)
    for each in found:
        around = [node for node in statements if node.lineno <= each["line"] <= (node.end_lineno or node.lineno)]
        innermost = max(around, key=lambda node: node.lineno)
        codes[innermost.lineno].add(each["code"])
    lines = source.splitlines(keepends=True)
    for number in sorted(codes, reverse=True):
        line = lines[number - 1]
        indentation = line[: len(line) - len(line.lstrip())]
        comment = f"{indentation}# sage-migrate: ignore {', '.join(sorted(codes[number]))} -- {reason}\n"
        lines.insert(number - 1, comment)
    path.write_text("".join(lines), encoding="utf-8")
