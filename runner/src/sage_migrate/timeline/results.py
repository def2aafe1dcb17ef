"""What happened, frozen: the input of every renderer.

Times are seconds since the start of the run; durations are seconds.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from sage_migrate.timeline.lock_modes import Effect, effect_of, strength_of


@dataclass(frozen=True, kw_only=True)
class HeldLock:
    """A lock on a relation, from the statement that took it until it was released."""

    relation: str
    mode: str
    """As ``pg_locks`` writes it: ``AccessExclusiveLock``."""
    taken_seconds: float
    """The earliest moment: the start of its statement, or the end of the queueing for it."""
    held_seconds: float
    table: str | None = None
    """The table, where ``relation`` is an index of it."""

    @property
    def effect(self) -> Effect:
        """Whom it holds up."""
        return effect_of(self.mode)

    @property
    def released_seconds(self) -> float:
        """When it was released."""
        return self.taken_seconds + self.held_seconds


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement that the migration sent; the same text several times on end is one."""

    sql: str
    attempt: int
    started_seconds: float
    duration_seconds: float
    executions: int = 1
    result: str = "done"
    """``done``, ``lock_not_obtained``, ``cancelled`` (by the gate) or ``failed``."""
    locks: tuple[HeldLock, ...] = ()
    """The locks that this statement took first, none twice."""

    @property
    def ended_seconds(self) -> float:
        """When it ended."""
        return self.started_seconds + self.duration_seconds


@dataclass(frozen=True, kw_only=True)
class Blocker:
    """A session or prepared transaction that was in the migration's way. What the role may not see is None."""

    pid: int
    relation: str | None
    mode: str
    application_name: str | None = None
    role: str | None = None
    state: str | None = None
    transaction_age_seconds: float | None = None
    query: str = ""

    @property
    def name(self) -> str:
        """Name it for a person."""
        if not self.pid:
            return "a prepared transaction"
        return f"{self.application_name} (pid {self.pid})" if self.application_name else f"pid {self.pid}"


@dataclass(frozen=True, kw_only=True)
class FailedTry:
    """A try that did not get its lock, and the wait for those who were in the way."""

    attempt: int
    started_seconds: float
    duration_seconds: float
    sqlstate: str
    sql: str
    blockers: tuple[Blocker, ...]
    paused_seconds: float
    """How long the migration then stood aside, with no lock and no queue."""

    @property
    def ended_seconds(self) -> float:
        """When it gave up."""
        return self.started_seconds + self.duration_seconds


@dataclass(frozen=True, kw_only=True)
class Stall:
    """A time in which sessions waited for the migration on one relation."""

    relation: str
    """The relation, or the kind of lock where it is none, such as ``transactionid`` for a row."""
    attempt: int
    started_seconds: float
    duration_seconds: float
    """From the first session's wait to the end of the last one's."""
    sessions: int
    longest_wait_seconds: float
    application_names: tuple[str, ...]
    sql: str
    """The statement at work when it began, or the last one before; empty where none was."""
    mode: str | None
    """The migration's own lock there; None where they waited behind another who waited for it."""
    queued: bool
    """Whether the migration did not hold that lock but queued for it, with the others behind it."""

    @property
    def ended_seconds(self) -> float:
        """When the last of them could go on."""
        return self.started_seconds + self.duration_seconds


@dataclass(frozen=True, kw_only=True)
class RevisionTimeline:
    """One revision: what it did, what it held, whom it held up."""

    revision: str
    path: str
    description: str
    phase: str
    stall_budget_seconds: float | None
    """The revision's own, where it declares one."""
    maintenance_window: str
    """In UTC, as declared; empty where there is none."""
    reason: str
    result: str
    """``applied``, ``reverted``, ``rolled back``, ``partly committed``, or ``unknown``: COMMIT was sent, its answer is missing."""
    started_seconds: float
    duration_seconds: float
    tries: int
    statements: tuple[Statement, ...] = ()
    statements_left_out: int = 0
    failed_tries: tuple[FailedTry, ...] = ()
    stalls: tuple[Stall, ...] = ()

    @property
    def ended_seconds(self) -> float:
        """When its transaction had ended."""
        return self.started_seconds + self.duration_seconds

    @property
    def locks(self) -> tuple[HeldLock, ...]:
        """Every lock, in the order of the statements that took them."""
        return tuple(lock for statement in self.statements for lock in statement.locks)

    @cached_property
    def telling_locks(self) -> tuple[HeldLock, ...]:
        """The locks without those that another makes redundant.

        A stronger lock on the same relation covers a lock, and one as strong on its table covers an index.
        """
        return tuple(_telling(self.locks))

    def telling_locks_of(self, statement: Statement) -> list[HeldLock]:
        """Return those of the statement's locks, the strongest first."""
        kept = [lock for lock in statement.locks if lock in self._telling]
        return sorted(kept, key=lambda lock: -strength_of(lock.mode))

    @cached_property
    def _telling(self) -> frozenset[HeldLock]:
        return frozenset(self.telling_locks)


def _telling(locks: Sequence[HeldLock]) -> Iterator[HeldLock]:
    of_relation: dict[str | None, list[HeldLock]] = defaultdict(list)
    for lock in locks:
        of_relation[lock.relation].append(lock)
    for lock in locks:
        beside = [*of_relation[lock.relation], *(of_relation[lock.table] if lock.table else ())]
        if not any(_covers(other, lock) for other in beside):
            yield lock


def _covers(other: HeldLock, lock: HeldLock) -> bool:
    stronger = strength_of(other.mode) - strength_of(lock.mode)
    enough = stronger > 0 or (stronger == 0 and other.relation == lock.table)
    return enough and other.taken_seconds <= lock.taken_seconds and other.released_seconds >= lock.released_seconds


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The settings that bounded the run."""

    lock_timeout_seconds: float
    stall_budget_seconds: float
    statement_timeout_seconds: float
    deadline_seconds: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the run ended short of its target."""

    exit_status: int
    reason: str
    what: str
    effect: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One run."""

    command: str
    started_at: str
    """UTC, ISO 8601."""
    duration_seconds: float
    before: tuple[str, ...]
    target: tuple[str, ...]
    pending: tuple[str, ...]
    limits: Limits
    sessions_held_up: int
    """How many different sessions waited for the migration at any time."""
    look_seconds: float | None
    """How often it was looked at who waits, so a shorter wait may be missing; None where no application was there."""
    incomplete: str = ""
    """Why locks or waits may be missing; empty where none are."""
    failure: Failure | None = None
    revisions: tuple[RevisionTimeline, ...] = ()

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Every stall, in the order of time."""
        return tuple(stall for revision in self.revisions for stall in revision.stalls)

    @property
    def failed_tries(self) -> tuple[FailedTry, ...]:
        """Every failed try, in the order of time."""
        return tuple(each for revision in self.revisions for each in revision.failed_tries)

    @property
    def paused_seconds(self) -> float:
        """How long the run stood aside between tries."""
        return sum(each.paused_seconds for each in self.failed_tries)

    @property
    def worst_stall(self) -> Stall | None:
        """The stall with the longest wait."""
        return max(self.stalls, key=lambda stall: stall.longest_wait_seconds, default=None)

    @property
    def strongest_lock(self) -> HeldLock | None:
        """The lock that blocks most, and of those the one that was held longest."""
        locks = [lock for revision in self.revisions for lock in revision.locks]
        return max(locks, key=lambda lock: (strength_of(lock.mode), lock.held_seconds), default=None)
