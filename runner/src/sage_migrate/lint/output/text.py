"""For people: place, code, effect, the line itself, and what to write instead."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sage_migrate.lint.findings import Violation


def as_text(violations: Sequence[Violation]) -> str:
    """Return each with its line of code, and a sum at the end."""
    if not violations:
        return "Clean."
    counted = Counter(each.severity for each in violations)
    total = ", ".join(
        f"{counted[severity]} {severity}{'s' if counted[severity] > 1 else ''}"
        for severity in ("error", "warning", "note")
        if counted[severity]
    )
    return "\n\n".join([*map(_one, violations), f"{total}."])


def _one(violation: Violation) -> str:
    hazards = f" [{', '.join(violation.hazards)}]" if violation.hazards else ""
    lines = [
        f"{violation.path}:{violation.line}:{violation.column}: {violation.severity} {violation.code} {violation.rule}{hazards}"
    ]
    code = _lines(violation.path)
    if violation.line <= len(code):
        lines.append(f"  {violation.line:>5} | {code[violation.line - 1].rstrip()}")
    lines.append(f"  {violation.message}")
    lines += [
        f"  {line}" if position == 0 else f"      {line}" for position, line in enumerate(violation.help.splitlines())
    ]
    return "\n".join(lines)


@lru_cache(maxsize=64)
def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
