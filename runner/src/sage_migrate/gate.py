"""The gate's own side of a run: its sessions, its deadline, and the way to stop the migration."""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sage_migrate.durations import format_duration
from sage_migrate.errors import ConnectionLostError, DeadlineExceededError, GateError, UsageError
from sage_migrate.interruption import Interruption
from sage_migrate.logs import log
from sage_migrate.progress import Progress, look_at_progress, watch_progress
from sage_migrate.recipes import advise
from sage_migrate.redact import redact
from sage_migrate.session import Connect, ControlThread, Session, is_broken, quote_identifier, quote_literal
from sage_migrate.settings import Settings
from sage_migrate.stall_guard import StallGuard
from sage_migrate.timeline.listener import RunListener
from sage_migrate.wait import wait_for_database

T = TypeVar("T")

_CANCEL_SECONDS = 2.0
_CANCEL_AGAIN_SECONDS = 0.2
_TERMINATE_AFTER_SECONDS = 3.0
_LAST_WORDS_SECONDS = 15.0
_LAST_LOOK_SECONDS = 0.5
_CHECK_LOCK_SECONDS = 0.25
# What an online revision spares of the deadline, at most a quarter, so that the run ends well without it.
_RESERVE_SECONDS = 10.0


@dataclass(kw_only=True)
class MigrationBackend:
    """The server process that runs the migration, as the gate's other session knows it."""

    pid: int
    backend_start: str
    statement: str = ""
    started: float = 0.0
    running: bool = False
    committing: bool = False
    stands_aside: bool = False
    """Whether it waits for its next try with no transaction open, so that nobody can wait for it."""
    batch_began: float | None = None
    """When the batch at work began, infinite between two; None where the work is not in batches."""
    progress: Progress | None = None
    """The last look at the statement at work."""
    estimated_seconds: float | None = None
    """How long that statement takes, as far as its progress ever told."""

    def begin(self, statement: str) -> None:
        """Note that ``statement`` is sent now."""
        self.statement, self.started, self.running = statement, time.monotonic(), True
        self.progress, self.estimated_seconds = None, None


@dataclass(frozen=True, kw_only=True, eq=False)
class LockedDatabase:
    """A database that env.py migrates, and the gate's sessions in it. Most env.py files know one."""

    connect: Connect
    lock: Session
    watch: Session
    lock_pid: int
    lock_token: int


class Gate:
    """Own the lock's session and the watching one, and stop the migration when the run is interrupted."""

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        """Start the clock of the deadline."""
        self.settings = settings
        self.interruption = interruption
        self.guard = StallGuard(self)
        self.recorder = RunListener()
        self.watch: Session | None = None
        self.connect: Connect | None = None
        self.backend: MigrationBackend | None = None
        self.lock_pid = 0
        self.lock_token = 0
        self.databases: list[LockedDatabase] = []
        self.database: LockedDatabase | None = None
        self.may_leave = False
        """Whether the revision at work may be left to an online run."""
        self._lock: Session | None = None
        self._sessions: list[Session] = []
        self._deadline = time.monotonic() + settings.deadline
        self._deadline_error: Callable[[], GateError] | None = None
        self._passing: concurrent.futures.Future[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._lock_checked = 0.0
        self._control = ControlThread()
        self._watching: list[concurrent.futures.Future[None]] = []

    def __enter__(self) -> Self:
        """Start the control thread and the deadline's timer."""
        self._control.__enter__()
        self._heed_interruption()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the sessions, which releases the advisory lock, and end the thread."""
        self.rest()
        self.release_backend()
        for session in self._sessions:
            self._control.call(session.close())
        self._control.__exit__(kind, error, trace)

    @property
    def is_open(self) -> bool:
        """Whether the lock is held."""
        return self._lock is not None

    def remaining(self) -> float:
        """Return the seconds left until the deadline, never negative."""
        return max(0.0, self._deadline - time.monotonic())

    def start_over(self, settings: Settings, interruption: Interruption) -> None:
        """Begin the run of another tenant in the same sessions, with a clock and reasons to stop of its own."""
        self.rest()
        self.settings, self.interruption = settings, interruption
        self._deadline = time.monotonic() + settings.deadline
        self._deadline_error = None
        self._heed_interruption()

    def rest(self) -> None:
        """Heed no deadline and no interruption until the next run begins: the sessions stay, and nothing is at work."""
        if self._unsubscribe is not None and self._passing is not None:
            self._unsubscribe()
            self._passing.cancel()
        self._unsubscribe = self._passing = None

    def _heed_interruption(self) -> None:
        self._unsubscribe = self.interruption.subscribe(lambda: self.start(self._stop_migration()))
        self._passing = self.start(self._pass_deadline())

    def remaining_for_online(self) -> float:
        """Return the seconds that the revision at work may still take before it is left, where it may be."""
        if not self.may_leave:
            return float("inf")
        return max(0.0, self.remaining() - min(_RESERVE_SECONDS, self.settings.deadline / 4))

    def connect_session(self, connect: Connect, application_name: str) -> Session:
        """Wait for the database and return a session of the run's own, which is closed at its end.

        Raises:
            GateError: as `wait_for_database`, or the interruption's.
        """
        timeout = min(self.settings.wait_timeout, self.remaining())
        session = self.call(wait_for_database(connect, application_name, wait_timeout=timeout))
        self._sessions.append(session)
        return session

    def open(self, database: LockedDatabase) -> None:
        """Note the sessions in one more database, now that its lock is held, and turn to it."""
        self.databases.append(database)
        self.turn_to(database)

    def turn_to(self, database: LockedDatabase) -> None:
        """Work in ``database`` from now on."""
        self.database = database
        self.connect, self._lock, self.watch = database.connect, database.lock, database.watch
        self.lock_pid, self.lock_token = database.lock_pid, database.lock_token

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the control loop, unless the run is interrupted.

        Raises:
            GateError: the interruption's.
            ConnectionLostError: the session at work broke.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._control.loop)
        unsubscribe = self.interruption.subscribe(future.cancel)
        try:
            return future.result()
        except (concurrent.futures.CancelledError, asyncio.CancelledError):
            self.interruption.check()
            raise
        except Exception as error:
            if isinstance(error, GateError) or not is_broken(error):
                raise
            self.interruption.check()
            raise _session_lost() from error
        finally:
            unsubscribe()

    def start(self, work: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
        """Let ``work`` run on the control loop beside the migration."""
        return asyncio.run_coroutine_threadsafe(work, self._control.loop)

    def check_lock(self) -> None:
        """Raise when the lock's session died: then another runner may be at work already.

        Raises:
            ConnectionLostError: nothing more may be applied by this run.
        """
        self.interruption.check()
        # A question for each of a thousand revisions would be a third of the time that they take.
        is_due = time.monotonic() - self._lock_checked > _CHECK_LOCK_SECONDS
        if is_due or self._may_have_ended():
            self.call(self._ask_lock())

    async def ask_ended_lock(self) -> None:
        """Ask as `check_lock` does, on the control loop, where not even the lock's session itself tells that it is there."""
        if self._may_have_ended():
            await self._ask_lock()

    def _may_have_ended(self) -> bool:
        return any(database.lock.has_ended() is not False for database in self.databases)

    async def _ask_lock(self) -> None:
        try:
            for database in self.databases:
                await database.lock.fetch("SELECT 1")
        except Exception as error:
            if not is_broken(error):
                raise
            self.interruption.check()
            msg = "The session that holds the runner's lock broke, so another runner may be at work."
            raise ConnectionLostError(msg, remedy="Run it again: it goes on where the version table stands.") from error
        self.note_lock_checked()

    def note_lock_checked(self) -> None:
        """Note that the lock's session has just answered."""
        self._lock_checked = time.monotonic()

    def look(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` of the watching session, as `call` does.

        Raises:
            ConnectionLostError: that session broke, and nothing goes on unwatched.
        """
        try:
            return self.call(work)
        except ConnectionLostError as error:
            raise _unwatched() from error

    def check_may_cancel(self, backend: MigrationBackend) -> None:
        """Refuse a migration that the watching session could not cancel.

        Raises:
            UsageError: env.py connects as another role, which this one has no right to stop.
        """
        assert self.watch is not None
        rows = self.look(
            self.watch.fetch(
                "SELECT theirs.rolname AS theirs, ours.rolname AS ours, ours.rolsuper OR (NOT theirs.rolsuper AND"  # noqa: S608  an integer
                " (pg_has_role(theirs.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))) AS may"
                " FROM pg_stat_activity AS activity JOIN pg_roles AS theirs ON theirs.oid = activity.usesysid"
                f" JOIN pg_roles AS ours ON ours.rolname = current_user WHERE activity.pid = {backend.pid}"
            )
        )
        if rows and not rows[0]["may"]:
            theirs, ours = rows[0]["theirs"], rows[0]["ours"]
            raise UsageError(
                f"env.py connects as {theirs}, and {ours}, whom the runner connects as, may not cancel what that role runs: "
                "the migration would be unguarded.",
                remedy=f"Let both connect as the same role, or: GRANT {quote_identifier(theirs)} TO {quote_identifier(ours)}.",
            )

    def watch_backend(self, backend: MigrationBackend, *, beside: bool = False, says_progress: bool = False) -> None:
        """Guard ``backend`` until `release_backend`; ``beside`` the ones before, whose transactions are still open.

        What ``says_progress`` itself, as a backfill does, is not asked for it.
        """
        assert self.watch is not None
        if beside:
            self.guard = StallGuard(self)  # of another server's sessions
        else:
            self.release_backend()
        self.backend = backend
        guarding = self.start(self.guard.watch(self.watch, backend))
        guarding.add_done_callback(self._stop_unguarded)
        self._watching.append(guarding)
        if not says_progress:
            self._watching.append(self.start(watch_progress(self, self.watch, backend)))

    def release_backend(self) -> None:
        """Let go of the migration's backend: its connection is env.py's to close, and its pid may be reused."""
        self.backend = None
        for watching in self._watching:
            watching.cancel()
        self._watching = []

    def expect_deadline_error(self, make: Callable[[], GateError] | None) -> None:
        """Say what the run is waiting for, so that the deadline is reported as that; None for nothing special."""
        self._deadline_error = make

    def _stop_unguarded(self, guarding: concurrent.futures.Future[None]) -> None:
        """Stop the run when the guard cannot watch any more: no promise without it."""
        if not guarding.cancelled() and guarding.exception() is not None:
            log.error("guard_lost", reason=redact(str(guarding.exception())))
            self.interruption.request(_unwatched())

    async def _pass_deadline(self) -> None:
        await asyncio.sleep(self.remaining())
        if self._deadline_error is not None:
            self.interruption.request(self._deadline_error())
            return
        if self.backend is not None and self.backend.running and self.watch is not None:
            with contextlib.suppress(Exception):  # any driver's: it is stopped all the same
                async with asyncio.timeout(_LAST_LOOK_SECONDS):
                    await look_at_progress(self.watch, self.backend)
        recipe = advise(self.backend.statement) if self.backend is not None and self.backend.running else None
        first = f"{recipe} Or l" if recipe else "See in the events above what it spent its time on; l"
        self.interruption.request(
            DeadlineExceededError(
                f"The run did not end within its deadline of {format_duration(self.settings.deadline)}.",
                remedy=f"{first}engthen --deadline (Helm: migration.deadline, "
                "with helm's own --timeout above it) if that is how long it takes.",
            )
        )

    async def cancel_migration(self, function: str, backend: MigrationBackend, transaction: str | None = None) -> None:
        """Call ``function`` on the migration's session, and on no other that may have its pid by now.

        Given a (virtual) ``transaction``, only while the session is in that one. The session of the lock does it where
        the one that watches is broken.
        """
        log.info("migration_cancelled", function=function, pid=backend.pid)
        same = quote_literal(backend.backend_start)
        # Without pg_read_all_stats the start of another role's session reads as NULL.
        sql = (
            f"SELECT {function}(pid) FROM pg_stat_activity WHERE pid = {backend.pid}"  # noqa: S608  an integer
            f" AND coalesce(backend_start::text, {same}) = {same}"
        )
        if transaction is not None:
            sql += (
                " AND EXISTS (SELECT FROM pg_locks AS held WHERE held.pid = pg_stat_activity.pid"
                f" AND held.virtualtransaction = {quote_literal(transaction)})"
            )
        assert self.watch is not None
        assert self._lock is not None
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self.watch.fetch(sql)
        except Exception:  # noqa: BLE001  any driver's
            await self._lock.fetch(sql)

    def call_at_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` although the run is interrupted; it must be short."""
        return self._control.call(work, timeout=_LAST_WORDS_SECONDS)

    async def _stop_migration(self) -> None:
        """Cancel the migration's statement until the run has let go of it; end its session when that does not help.

        A cancel that meets an idle session does nothing: where a revision computes, its session is ended at once.
        Once COMMIT was sent it is let be.
        """
        started = time.monotonic()
        while (backend := self.backend) is not None and self.watch is not None:
            if not backend.committing:
                end = not backend.running or time.monotonic() - started > _TERMINATE_AFTER_SECONDS
                with contextlib.suppress(Exception):  # any driver's: the next turn tries again
                    await self.cancel_migration("pg_terminate_backend" if end else "pg_cancel_backend", backend)
            await asyncio.sleep(_CANCEL_AGAIN_SECONDS)


def _unwatched() -> ConnectionLostError:
    return ConnectionLostError(
        "The session that watches for stalls broke, and the migration does not go on unwatched.",
        remedy="See whether the server restarted or ended the session; then run it again.",
    )


def _session_lost() -> ConnectionLostError:
    return ConnectionLostError(
        "A session of the runner's own broke.",
        remedy="See whether the server restarted or ended the session; then run it again: it goes on where the version table "
        "stands.",
    )
