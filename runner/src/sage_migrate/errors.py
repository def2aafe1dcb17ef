"""Every way in which a run can end short of its target, each with its own exit status.

::

    GateError
    ├── UsageError                     2   settings or command line
    ├── DatabaseUnreachableError      10   no connection within the wait timeout
    ├── AccessRefusedError            11   credentials, TLS or database name
    ├── ReadOnlyTargetError           12   read-only, or a standby in recovery
    ├── TransactionPoolerError        13   a pooler in transaction mode
    ├── WrongDatabaseError            14   env.py connects elsewhere than the lock
    ├── HistoryBrokenError            20   several heads, missing or duplicate revision
    ├── DatabaseAheadError            21   ahead, and not shown to be this history
    ├── NotReviewedError              22   not reviewed, or changed since
    ├── ContractRefusedError          23   a contract revision was not allowed
    ├── RunnerLockTimeoutError        30   another runner held the lock until the deadline
    ├── LockNotObtainedError          31   a relation's lock was not obtained before the deadline
    ├── StallBudgetExceededError      32   the migration made somebody wait too long
    ├── StatementTimeoutError         33   one statement ran too long
    ├── DeadlineExceededError         34   the whole run took too long
    ├── MigrationFailedError          40   the migration raised (SQL or Python)
    ├── ConnectionLostError           41   the connection broke in the middle
    ├── CancelledByOtherError         42   somebody else cancelled or terminated it
    ├── EndedShortError               43   nothing was raised, yet the target was not reached
    ├── FleetFailedError              50   some tenants failed
    ├── KeyboardInterruptedError     130   SIGINT
    └── TerminatedError              143   SIGTERM

An exit status is never reused. Only `sage_migrate.cli` turns one into the end of the process.
"""

from collections.abc import Mapping
from typing import ClassVar


class GateError(Exception):
    """A run ended short of its target.

    ``what`` says what happened and ``remedy`` what to do about it, in sentences; the effect (what this run
    applied) is added by the report, because only the whole run knows it. ``facts`` are the same as fields
    for machines. Whether ``retryable`` is set tells an operator if the same command can succeed unchanged.
    """

    exit_status: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    summary: ClassVar[str] = "unexpected: a bug in sage-migrate"

    def __init__(self, what: str, *, remedy: str = "", facts: Mapping[str, object] | None = None) -> None:
        """Keep the sentences and the facts."""
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy
        self.facts = dict(facts or {})


def met_bug(error: Exception) -> GateError:
    """Return the end of a run that raised what nothing expects; its traceback is on stderr."""
    return GateError(
        f"sage-migrate met a bug: {type(error).__name__}: {error}.",
        remedy="Please report it with the traceback on stderr.",
    )


class UsageError(GateError):
    """The command line, an environment variable or a configuration file is wrong."""

    exit_status = 2
    summary = "usage or settings"


class DatabaseUnreachableError(GateError):
    """No connection could be made within the wait timeout."""

    exit_status = 10
    retryable = True
    summary = "database unreachable in time"


class AccessRefusedError(GateError):
    """The server answered and refused: waiting cannot heal it."""

    exit_status = 11
    summary = "credentials, TLS or database name refused"


class ReadOnlyTargetError(GateError):
    """The server is in recovery, or its transactions are read-only."""

    exit_status = 12
    summary = "target read-only or in recovery"


class TransactionPoolerError(GateError):
    """A pooler in transaction mode stands in between: session locks and timeouts do not hold there."""

    exit_status = 13
    summary = "pooler in transaction mode"


class WrongDatabaseError(GateError):
    """env.py connects to another database than the one in which the runner holds its lock."""

    exit_status = 14
    summary = "env.py connects to another database than the lock's"


class HistoryBrokenError(GateError):
    """The revision files do not form a history that can be upgraded."""

    exit_status = 20
    summary = "history broken: several heads, missing or duplicate revision"


class DatabaseAheadError(GateError):
    """The database is at a revision that this image does not contain."""

    exit_status = 21
    summary = "database ahead, not shown to be this history"


class NotReviewedError(GateError):
    """A pending revision has no review, or changed since."""

    exit_status = 22
    summary = "revision not reviewed, or changed since"


class ContractRefusedError(GateError):
    """A ``contract`` revision is pending and this run may only expand."""

    exit_status = 23
    summary = "a `contract` revision refused"


class RunnerLockTimeoutError(GateError):
    """Another runner held the advisory lock until the deadline."""

    exit_status = 30
    retryable = True
    summary = "another runner held the lock until the deadline"


class LockNotObtainedError(GateError):
    """A lock on a relation could not be had, in short tries, before the deadline."""

    exit_status = 31
    retryable = True
    summary = "a relation's lock not obtained before the deadline"


class StallBudgetExceededError(GateError):
    """Somebody waited for the migration longer than the stall budget."""

    exit_status = 32
    summary = "stall budget exceeded"


class StatementTimeoutError(GateError):
    """One statement ran longer than statement_timeout."""

    exit_status = 33
    summary = "statement timeout"


class DeadlineExceededError(GateError):
    """The whole run took longer than its deadline."""

    exit_status = 34
    retryable = True
    summary = "deadline exceeded"


class MigrationFailedError(GateError):
    """A revision or env.py raised, in SQL or in Python."""

    exit_status = 40
    summary = "the migration raised (SQL or Python)"


class ConnectionLostError(GateError):
    """The connection to the server broke while a revision was being applied."""

    exit_status = 41
    retryable = True
    summary = "connection lost in the middle"


class CancelledByOtherError(GateError):
    """Somebody other than this run cancelled the statement or terminated the session."""

    exit_status = 42
    retryable = True
    summary = "cancelled by somebody else"


class EndedShortError(GateError):
    """env.py returned without an error, and the version table is not at the target."""

    exit_status = 43
    summary = "ended short of the target although nothing was raised"


class FleetFailedError(GateError):
    """Some tenants of a fleet failed."""

    exit_status = 50
    summary = "fleet: some tenants failed"


class KeyboardInterruptedError(GateError):
    """SIGINT arrived."""

    exit_status = 130
    retryable = True
    summary = "SIGINT"


class TerminatedError(GateError):
    """SIGTERM arrived."""

    exit_status = 143
    retryable = True
    summary = "SIGTERM"
