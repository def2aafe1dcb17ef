"""What a trace saw, frozen: the input of every output format."""

from dataclasses import dataclass
from typing import Literal

from sage_migrate.lint.findings import Severity
from sage_migrate.timeline.results import HeldLock

Phase = Literal["expand", "contract"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement that a revision sent; the same one several times on end is one."""

    sql: str
    line: int | None
    """In the revision's file, None where it was sent from elsewhere."""
    started_seconds: float
    """From the revision's start."""
    duration_seconds: float
    executions: int = 1
    in_transaction: bool = True
    locks: tuple[HeldLock, ...] = ()
    """The locks that it took first; in autocommit those that PostgreSQL documents, held while it ran."""
    rewrites: tuple[str, ...] = ()
    """Tables that were written anew."""
    index_rewrites: tuple[str, ...] = ()
    """Indexes that were written anew."""
    scans: tuple[str, ...] = ()
    """Live tables that were read from end to end."""
    indexes_built: tuple[str, ...] = ()
    constraints_validated: tuple[str, ...] = ()
    rows_written: dict[str, int] | None = None
    """Rows updated or deleted, by table."""
    exclusively_held: tuple[str, ...] = ()
    """Tables under ACCESS EXCLUSIVE while it ran."""
    locked_together: tuple[str, ...] = ()
    """Live tables that the transaction holds locks on that stop writers, where these are several."""
    wal_bytes: int = 0
    problem: str = ""
    """What PostgreSQL said, where it failed."""
    estimate: str = ""
    """At the sizes of production, where they were given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hazard:
    """One finding of a revision, in the linter's words."""

    code: str
    rule: str
    hazards: tuple[str, ...]
    severity: Severity
    message: str
    help: str
    relation: str
    line: int | None = None
    evidence: tuple[str, ...] = ()
    """Of old code: the statement that fails, and where it comes from."""
    versions: tuple[str, ...] = ()
    """Of several versions of PostgreSQL those that showed it, where not all did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakage:
    """A statement that works on one schema and not on the other."""

    sql: str
    source: str
    """Where it comes from: a line of the old model, of a file of statements, or the old schema's table."""
    relations: tuple[str, ...]
    sqlstate: str
    problem: str
    versions: tuple[str, ...] = ()
    """As of a hazard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A check beside the trace, such as the round trip."""

    name: str
    passed: bool
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionTrace:
    """One revision."""

    revision: str
    path: str
    description: str
    declared: str
    """The phase that its file declares."""
    duration_seconds: float
    statements: tuple[Statement, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    problem: str = ""
    """Why it did not run to its end."""
    notes: tuple[str, ...] = ()
    old_code_breaks: tuple[Breakage, ...] = ()
    new_code_breaks: tuple[Breakage, ...] = ()
    """What the new code's statements, on the schema before, would meet: a rollback of the migration alone."""

    @property
    def compatible_with_old_code(self) -> bool:
        """Tell whether the release before goes on working."""
        return not self.old_code_breaks

    @property
    def verdict(self) -> Phase:
        """``expand`` where old pods survive it, else ``contract``."""
        return "expand" if self.compatible_with_old_code else "contract"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A whole run."""

    base: tuple[str, ...]
    head: tuple[str, ...]
    server: str
    """PostgreSQL's version."""
    old_code: str
    """What stood for the old code."""
    duration_seconds: float
    revisions: tuple[RevisionTrace, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    versions: tuple["Trace", ...] = ()
    """Where it was made on several servers, each by itself; then a finding of any of them is one of the whole."""

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing of it fails a run."""
        return all(check.passed for check in self.checks) and not any(
            each.problem or any(hazard.severity == "error" for hazard in each.hazards) for each in self.revisions
        )
