"""The record of a run while it goes: moments of the monotonic clock, open ends, one wait for each session.

`freeze_revision` turns it into results: seconds since the start of the run, durations, waits joined to stalls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sage_migrate.declarations import Declaration
from sage_migrate.timeline.results import Blocker, FailedTry, HeldLock, RevisionTimeline, Stall, Statement

_CLOCKS_SECONDS = 0.002


@dataclass(kw_only=True)
class LockRecord:
    """A lock on a relation."""

    relation: str
    mode: str
    table: str | None
    taken: float
    released: float | None = None


@dataclass(kw_only=True)
class StatementRecord:
    """A statement, and the locks that it took."""

    sql: str
    attempt: int
    started: float
    ended: float | None = None
    executions: int = 1
    result: str = "done"
    locks: list[LockRecord] = field(default_factory=list)

    def repeats(self, before: "StatementRecord") -> bool:
        """Tell whether it is the statement before once more, with nothing new to say."""
        same = (self.sql, self.attempt) == (before.sql, before.attempt)
        return same and self.result == before.result == "done" and not self.locks


@dataclass(kw_only=True)
class WaitRecord:
    """One session's wait. ``over`` is when it ended, as far as is known."""

    pid: int
    relation: str
    attempt: int
    started: float
    over: float
    mode: str | None
    queued: bool


@dataclass(kw_only=True)
class TryRecord:
    """A try that did not get its lock."""

    attempt: int
    started: float
    ended: float
    sqlstate: str
    sql: str
    blockers: tuple[Blocker, ...]
    resumed: float | None = None


@dataclass(kw_only=True)
class RevisionRecord:
    """One revision, all its tries."""

    revision: str
    path: str
    description: str
    declaration: Declaration
    started: float
    try_started: float
    ended: float | None = None
    tries: int = 0
    statements: list[StatementRecord] = field(default_factory=list)
    left_out: int = 0
    failed_tries: list[TryRecord] = field(default_factory=list)
    waits: list[WaitRecord] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Clock:
    """How moments become the seconds of a report."""

    zero: float
    now: float
    look_seconds: float

    def at(self, moment: float) -> float:
        """Return the seconds from the start of the run."""
        return round(max(0.0, moment - self.zero), 4)

    def since(self, start: float, end: float | None) -> float:
        """Return a duration; what has not ended lasts until now."""
        return round(max(0.0, (self.now if end is None else end) - start), 4)


def freeze_revision(
    record: RevisionRecord, clock: Clock, *, result: str, names: Mapping[int, str | None]
) -> RevisionTimeline:
    """Return the record's results. ``names`` are the application_names of the sessions that waited."""
    declaration = record.declaration
    return RevisionTimeline(
        revision=record.revision,
        path=_relative(record.path),
        description=record.description,
        phase=declaration.phase,
        stall_budget_seconds=declaration.stall_budget,
        maintenance_window=declaration.window_text,
        reason=declaration.reason,
        result=result,
        started_seconds=clock.at(record.started),
        duration_seconds=clock.since(record.started, record.ended),
        tries=record.tries,
        statements=tuple(_statement(each, clock) for each in record.statements),
        statements_left_out=record.left_out,
        failed_tries=tuple(_failed_try(each, clock) for each in record.failed_tries),
        stalls=tuple(_stall(waits, record, clock, names) for waits in _joined(record.waits, clock.look_seconds)),
    )


def _statement(record: StatementRecord, clock: Clock) -> Statement:
    return Statement(
        sql=record.sql,
        attempt=record.attempt,
        started_seconds=clock.at(record.started),
        duration_seconds=clock.since(record.started, record.ended),
        executions=record.executions,
        result=record.result,
        locks=tuple(
            HeldLock(
                relation=lock.relation,
                mode=lock.mode,
                taken_seconds=clock.at(lock.taken),
                held_seconds=clock.since(lock.taken, lock.released),
                table=lock.table,
            )
            for lock in record.locks
        ),
    )


def _failed_try(record: TryRecord, clock: Clock) -> FailedTry:
    return FailedTry(
        attempt=record.attempt,
        started_seconds=clock.at(record.started),
        duration_seconds=clock.since(record.started, record.ended),
        sqlstate=record.sqlstate,
        sql=record.sql,
        blockers=record.blockers,
        paused_seconds=clock.since(record.ended, record.resumed),
    )


def _joined(waits: Sequence[WaitRecord], look_seconds: float) -> list[list[WaitRecord]]:
    """Join waits on one relation, in one try, that overlap or follow within a look."""
    groups: list[list[WaitRecord]] = []
    for wait in sorted(waits, key=lambda each: (each.relation, each.attempt, each.started)):
        last = groups[-1] if groups else []
        same = last and (last[0].relation, last[0].attempt) == (wait.relation, wait.attempt)
        if same and wait.started <= max(each.over for each in last) + look_seconds:
            last.append(wait)
        else:
            groups.append([wait])
    return sorted(groups, key=lambda group: group[0].started)


def _stall(waits: Sequence[WaitRecord], record: RevisionRecord, clock: Clock, names: Mapping[int, str | None]) -> Stall:
    first = waits[0]
    # Both clocks are ours, but the wait's begin comes from the server's count of its seconds.
    begun = [each for each in record.statements if each.started <= first.started + _CLOCKS_SECONDS]
    return Stall(
        relation=first.relation,
        attempt=first.attempt,
        started_seconds=clock.at(first.started),
        duration_seconds=clock.since(first.started, max(wait.over for wait in waits)),
        sessions=len({wait.pid for wait in waits}),
        longest_wait_seconds=max(clock.since(wait.started, wait.over) for wait in waits),
        application_names=tuple(sorted({names.get(wait.pid) or "" for wait in waits} - {""})),
        sql=begun[-1].sql if begun else "",
        mode=next((wait.mode for wait in waits if wait.mode), None),
        queued=first.queued,
    )


def _relative(path: str) -> str:
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path
