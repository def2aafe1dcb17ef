"""What a rule found, and how it is told."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One finding at one place."""

    code: str
    rule: str
    hazards: tuple[str, ...]
    path: str
    line: int
    column: int
    severity: Severity
    message: str
    """What happens, and to whom."""
    help: str = ""
    """Begins with "Instead:"; the corrected revision with the user's own names."""
