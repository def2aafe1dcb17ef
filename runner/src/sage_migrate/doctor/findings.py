"""What a check found, and what could not be checked."""

from dataclasses import dataclass, field

from sage_migrate.lint.findings import Severity


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, what comes of it, and what to do about it."""

    check: str
    severity: Severity
    message: str
    fix: str
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class NotChecked:
    """A check that was not made, and why."""

    check: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All that one run has to say."""

    findings: list[Finding] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)
