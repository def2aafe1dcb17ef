"""Keep what a run does while it goes, and write it down at its end.

Statements and transactions are told by the main thread, looks at who waits by the gate's control thread.
Nothing that goes wrong in here may change what becomes of the run.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alembic.script import Script

from sage_migrate.declarations import Declaration
from sage_migrate.errors import (
    DeadlineExceededError,
    GateError,
    KeyboardInterruptedError,
    StallBudgetExceededError,
    TerminatedError,
)
from sage_migrate.lock_waits import Lock, LockWaits, describe_relation, describe_sessions
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Session
from sage_migrate.timeline.listener import RunListener
from sage_migrate.timeline.lock_modes import Effect, effect_of
from sage_migrate.timeline.lock_reading import LockReader, ReadLock
from sage_migrate.timeline.record import (
    Clock,
    LockRecord,
    RevisionRecord,
    StatementRecord,
    TryRecord,
    WaitRecord,
    freeze_revision,
)
from sage_migrate.timeline.report_files import write_report_files
from sage_migrate.timeline.results import Blocker, Failure, Limits, Timeline

if TYPE_CHECKING:
    from sage_migrate.gate import Gate
    from sage_migrate.report import Report
    from sage_migrate.settings import Settings

_LOOK_SECONDS = 0.05
# A statement still at work after this long has its locks read meanwhile: one that fails leaves none to read.
_READ_MEANWHILE_SECONDS = 0.25
# The locks are held while they are read. What that may add to a transaction: so much, and a share of its own time.
_READING_SECONDS = 0.02
_READING_SHARE = 0.1
_MOST_STATEMENTS = 3000
_ANSWER_SECONDS = 1.0
_CANCELLING = (StallBudgetExceededError, DeadlineExceededError, KeyboardInterruptedError, TerminatedError)
_GIVES_LOCKS_BACK = re.compile(r"\s*ROLLBACK\b", re.IGNORECASE)
_QUERY = re.compile(r"SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES", re.IGNORECASE)
_NEVER = float("-inf")


class Recorder(RunListener):
    """The record of one run."""

    look_seconds = _LOOK_SECONDS

    def __init__(self, settings: "Settings", *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the record's clock."""
        self._settings = settings
        self._clock = clock
        self._zero = clock()
        self._started_at = datetime.now(UTC)
        self._mutex = threading.Lock()
        self._gate: Gate | None = None
        self._revisions: list[RevisionRecord] = []
        self._locks = LockReader()
        self._at_work: StatementRecord | None = None
        self._held: dict[tuple[str, str], LockRecord] = {}
        self._unread: list[StatementRecord] = []
        """The statements of this transaction after which the locks were not read yet."""
        self._reading_seconds = 0.0
        self._in_try = False
        """Whether a revision is at work: what Alembic does before it and between two tries is not the revision's."""
        self._in_transaction = False
        self._transaction_began = self._zero
        self._read_meanwhile_at = _NEVER
        self._queued: tuple[str | None, float] = (None, _NEVER)
        """The relation that the migration was last seen queueing for, and when."""
        self._committing: float | None = None
        """When the COMMIT was sent that is not known to be answered."""
        self._last_release = _NEVER
        self._waiting: dict[int, WaitRecord] = {}
        self._names: dict[int, str | None] = {}
        """The application_name of who waited; None for autovacuum, which gives way by itself and serves nobody."""
        self._tables: dict[int, str | None] = {}
        """The table of the row that somebody waits for."""
        self._incomplete = ""

    # Told by the run, on the main thread

    def begin_revision(self, script: Script, declaration: Declaration, *, version_table: str) -> None:
        """Begin a try; the first one of a revision also begins its record."""
        now = self._clock()
        with self._mutex:
            self._locks.version_table = version_table
            self._end_statement(now, "failed")
            if self._revision is None or self._revision.revision != script.revision:
                self._revisions.append(
                    RevisionRecord(
                        revision=script.revision,
                        path=script.path,
                        description=script.doc or "",
                        declaration=declaration,
                        started=now,
                        try_started=now,
                    )
                )
            record = self._revisions[-1]
            record.tries += 1
            record.try_started = now
            self._in_try = True
            if record.failed_tries:
                record.failed_tries[-1].resumed = now

    def end_revision(self) -> None:
        """End the revision; what was committed with it held its locks until now."""
        now = self._clock()
        with self._mutex:
            self._end_statement(now, "failed")
            if self._committing is not None:
                self._release(now)
            if self._revision is not None:
                self._revision.ended = now
            self._in_try = False

    def begin_statement(self, sql: str) -> None:
        """Begin a statement; what was sent before and never ended has failed."""
        if self._gate is not None and _GIVES_LOCKS_BACK.match(sql):
            self._read_rest(self._gate)
        now = self._clock()
        with self._mutex:
            self._end_statement(now, "failed")
            if self._committing is not None:
                self._release(self._committing)
            if self._revision is not None and self._in_try:
                shown = shorten_sql(sql, literals=self._settings.show_literals)
                self._at_work = StatementRecord(sql=shown, attempt=self._revision.tries, started=now)
                if not self._in_transaction:
                    self._in_transaction, self._transaction_began = True, now

    def end_statement(self, gate: "Gate") -> None:
        """End the statement, and read which locks it left behind, unless that would take too long in all."""
        now = self._clock()
        if self._at_work is None:
            return
        self._gate = gate
        allowed = _READING_SECONDS + _READING_SHARE * (now - self._transaction_began)
        due = self._reading_seconds < allowed or _GIVES_LOCKS_BACK.match(self._at_work.sql)
        locks = self._read(gate) if due else None
        with self._mutex:
            if locks is not None:
                self._note_locks([*self._unread, self._at_work], locks, now)
            kept = self._end_statement(now, "done")
            if locks is not None:
                self._unread.clear()
            elif kept is not None and kept not in self._unread[-1:]:
                self._unread.append(kept)

    def commit_sent(self, gate: "Gate") -> None:
        """Read what was not read yet; the locks begin to be released, and the end of the revision tells when."""
        self._read_rest(gate)
        self._committing = self._clock()

    def rolled_back(self) -> None:
        """End the statement that failed, and every lock."""
        now = self._clock()
        with self._mutex:
            self._end_statement(now, "failed")
            self._release(now)

    def try_failed(self, sqlstate: str, blockers: Sequence[Mapping[str, Any]]) -> None:
        """Note a try that did not get its lock; the time until the next is spent standing aside."""
        now = self._clock()
        with self._mutex:
            self._end_statement(now, "failed")
            self._release(now)
            record = self._revision
            self._in_try = False
            if record is None:
                return
            last = record.statements[-1] if record.statements else None
            if last is not None and last.attempt == record.tries:
                last.result = "lock_not_obtained"
            else:
                last = None
            record.failed_tries.append(
                TryRecord(
                    attempt=record.tries,
                    started=record.try_started,
                    ended=(last.ended if last else None) or now,
                    sqlstate=sqlstate,
                    sql=last.sql if last else "",
                    blockers=tuple(_blocker(each) for each in blockers),
                )
            )

    def write(self, report: "Report", error: GateError | None = None) -> None:
        """Write the files that ``--report`` names."""
        write_report_files(self._settings.report, lambda: self.freeze(report, error))

    # Told by the guard, on the control thread

    async def look(self, session: Session, pid: int, waits: LockWaits) -> None:
        """Note who waits for the migration, what it queues for, and the locks of a statement still at work."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._look(session, pid, waits)
        except Exception as error:  # noqa: BLE001  the guard must go on; a broken session is its own to find out
            self._incomplete = f"a look at pg_locks failed ({type(error).__name__})"

    async def _look(self, session: Session, pid: int, waits: LockWaits) -> None:
        now = self._clock()
        await self._learn_names(session, waits.victims_of(pid))
        work, locks = self._at_work, None
        if work is not None and now - max(work.started, self._read_meanwhile_at) >= _READ_MEANWHILE_SECONDS:
            self._read_meanwhile_at = now
            locks = await self._locks.read(session, pid)
        with self._mutex:
            for queue in waits.waits_of(pid):
                self._queued = (queue.relation, now)
            if locks is not None and work is not None and work is self._at_work:
                self._note_locks([*self._unread, work], locks, now)
            self._note_waits(waits, pid, now)

    async def _learn_names(self, session: Session, victims: Sequence[Lock]) -> None:
        unknown = {victim.pid for victim in victims} - set(self._names)
        if unknown:
            for row in await describe_sessions(session, unknown):
                self._names[row["pid"]] = None if row["is_background"] else row["application_name"] or ""
        for victim in victims:
            # Who waits for a row waits for a transaction; the table is known by the row's own lock.
            if victim.relation is None and victim.pid not in self._waiting:
                self._tables[victim.pid] = (await describe_relation(session, victim))["relation"]

    def _note_waits(self, waits: LockWaits, pid: int, now: float) -> None:
        record = self._revision
        if record is None:
            return
        before, self._waiting = self._waiting, {}
        for victim in waits.victims_of(pid):
            if self._names.get(victim.pid, "") is None:
                continue
            started = now - victim.waited_seconds
            wait = before.pop(victim.pid, None)
            # The server's clock and ours are compared at each look, and a look takes some milliseconds.
            if wait is None or abs(wait.started - started) > _LOOK_SECONDS:
                our = waits.held_against(pid, victim)
                wait = WaitRecord(
                    pid=victim.pid,
                    relation=victim.relation or self._tables.get(victim.pid) or victim.locktype,
                    attempt=record.tries,
                    started=started,
                    over=now,
                    mode=our.mode if our else None,
                    queued=our is not None and not our.granted,
                )
                record.waits.append(wait)
            wait.over = max(now, self._last_release)
            self._waiting[victim.pid] = wait
        for wait in before.values():
            wait.over = now
        if now < self._last_release:  # the locks went while we looked
            self._waiting.clear()

    # State

    @property
    def _revision(self) -> RevisionRecord | None:
        return self._revisions[-1] if self._revisions else None

    def _read_rest(self, gate: "Gate") -> None:
        """Read the locks where they were not after the last statements."""
        locks = self._read(gate) if self._unread else None
        if locks is not None:
            with self._mutex:
                self._note_locks(self._unread, locks, self._clock())
                self._unread.clear()

    def _read(self, gate: "Gate") -> list[ReadLock] | None:
        if gate.watch is None or gate.backend is None:
            return None
        started = self._clock()
        try:
            return gate.call(self._locks.read(gate.watch, gate.backend.pid))
        except Exception as error:  # noqa: BLE001  the run finds out by itself what is wrong with the session
            self._incomplete = f"locks could not be read after a statement ({type(error).__name__})"
            return None
        finally:
            self._reading_seconds += self._clock() - started

    def _note_locks(self, works: Sequence[StatementRecord], locks: Iterable[ReadLock], now: float) -> None:
        """Compare with what was held: what is gone was released, what is new was taken by one of ``works``.

        Of several, by the first of the likeliest.
        """
        found = {(lock.relation, lock.mode): lock for lock in locks}
        for key in [key for key in self._held if key not in found]:
            self._held.pop(key).released = now
        queued_for, until = self._queued
        for key, lock in found.items():
            if key not in self._held:
                work = max(works, key=lambda each: _likelihood(each.sql, lock))
                taken = max(work.started, until if queued_for == lock.relation else _NEVER)
                self._held[key] = LockRecord(relation=lock.relation, mode=lock.mode, table=lock.table, taken=taken)
                work.locks.append(self._held[key])

    def _end_statement(self, now: float, result: str) -> StatementRecord | None:
        """End the statement at work, if there is one; return the record that it is kept in."""
        work, self._at_work = self._at_work, None
        record = self._revision
        if work is None or record is None:
            return None
        work.ended, work.result = now, result
        last = record.statements[-1] if record.statements else None
        if last is not None and work.repeats(last):
            last.ended, last.executions = now, last.executions + 1
            return last
        if len(record.statements) < _MOST_STATEMENTS or result != "done" or work.locks:
            record.statements.append(work)
            return work
        record.left_out += 1
        return None

    def _release(self, now: float) -> None:
        """End every lock, and the waits for it: who still waits is seen at the next look."""
        for lock in self._held.values():
            lock.released = now
        for wait in self._waiting.values():
            wait.over = now
        self._held.clear()
        self._waiting.clear()
        self._unread, self._reading_seconds, self._in_transaction = [], 0.0, False
        self._locks.forget_transaction()
        self._committing, self._last_release = None, now

    # The end

    def freeze(self, report: "Report", error: GateError | None = None) -> Timeline:
        """Return the record of a run that has ended."""
        now = self._clock()
        settings, clock = self._settings, Clock(zero=self._zero, now=now, look_seconds=self.look_seconds)
        with self._mutex:
            self._end_statement(now, "failed")
            self._release(now if self._committing is None else self._committing)
            if isinstance(error, _CANCELLING) and self._revision is not None:
                for work in self._revision.statements[-1:]:
                    work.result = "cancelled" if work.result == "failed" else work.result
            return Timeline(
                command=report.command,
                started_at=self._started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
                duration_seconds=clock.at(now),
                before=tuple(report.before),
                target=tuple(report.target),
                pending=tuple(report.pending),
                limits=Limits(
                    lock_timeout_seconds=settings.lock_timeout,
                    stall_budget_seconds=settings.stall_budget,
                    statement_timeout_seconds=settings.statement_timeout,
                    deadline_seconds=settings.deadline,
                ),
                sessions_held_up=len({wait.pid for record in self._revisions for wait in record.waits}),
                look_seconds=self.look_seconds,
                incomplete=self._incomplete,
                failure=None if error is None else _failure(report, error),
                revisions=tuple(
                    freeze_revision(record, clock, result=_result(record.revision, report), names=self._names)
                    for record in self._revisions
                ),
            )


def _result(revision: str, report: "Report") -> str:
    if any(each.revision == revision for each in report.applied):
        return "reverted" if report.is_downgrade else "applied"
    if revision == report.revision and report.commit_unknown:
        return "unknown"
    return "partly committed" if revision == report.revision and report.partly_committed else "rolled back"


def _failure(report: "Report", error: GateError) -> Failure:
    return Failure(
        exit_status=error.exit_status,
        reason=error.summary,
        what=error.what,
        effect=report.effect(),
        remedy=error.remedy,
    )


def _likelihood(sql: str, lock: ReadLock) -> tuple[bool, bool]:
    """Tell whether a statement may be the one that took ``lock``: it names the relation, and no query takes more."""
    name = re.escape(lock.relation.rpartition(".")[2].strip('"'))
    possible = effect_of(lock.mode) is Effect.ORDINARY or not _QUERY.match(sql)
    return possible, re.search(rf"\b{name}\b", sql) is not None


def _blocker(described: Mapping[str, Any]) -> Blocker:
    fields: dict[str, Any] = {name: described.get(name) for name in Blocker.__dataclass_fields__}
    return Blocker(**fields)
