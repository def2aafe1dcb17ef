"""Watch who waits for the migration, and stop it before anybody waits longer than the stall budget.

``lock_timeout`` bounds how long others queue behind us; nothing in PostgreSQL bounds how long we *hold* a lock
while we work. This does: a second session looks at ``pg_locks`` while the migration runs.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from sage_migrate.durations import format_duration
from sage_migrate.errors import StallBudgetExceededError
from sage_migrate.lock_waits import (
    Lock,
    LockWaits,
    WaitClock,
    describe_relation,
    describe_sessions,
    glance,
    seconds_until_next_look,
    take_snapshot,
)
from sage_migrate.logs import log
from sage_migrate.recipes import advise
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Row, Session

if TYPE_CHECKING:
    from sage_migrate.gate import Gate, MigrationBackend

_TICK_SECONDS = 0.02
# A look takes milliseconds. Without an answer for so long nobody is watching.
_ANSWER_SECONDS = 5.0
# What was done to let others go on is looked at soon, since they wait already.
_ACTED_SECONDS = 0.1
# So that the longest wait is known where a revision's own budget, or a maintenance window, lets others wait for long.
_LONGEST_REST_SECONDS = 2.0
# Without need, to see that the watching session is still there.
_LOOK_ANYWAY_SECONDS = 5.0
_NEVER = float("inf")
_SPLIT = (
    "Split the revision so that no long step runs under that lock: a NOT VALID constraint and VALIDATE in the next revision, an "
    "index CONCURRENTLY, a backfill in batches."
)


class StallGuard:
    """The watch over one run's migration."""

    def __init__(self, gate: "Gate") -> None:
        """Watch by ``gate``'s second session; the budget is the run's until a revision declares its own."""
        self._gate = gate
        self.stall_budget = gate.settings.stall_budget
        self.blockers: list[Lock] = []
        self.cancelled_in_queue = False
        """Whether the guard itself broke off the last try, so that it counts as a lock that was not to be had."""
        self.longest_stall_seconds = 0.0
        self._clock = WaitClock()
        self._reported = 0.0

    def take_blockers(self) -> list[Lock]:
        """Return who was in the way of the last try, and forget them."""
        blockers, self.blockers = self.blockers, []
        self.cancelled_in_queue = False
        return blockers

    async def watch(self, session: Session, backend: "MigrationBackend") -> None:
        """Look as often as the promise needs, and no more, until cancelled.

        Always at half the budget, or a little less often where a look costs the server much, and more often than
        progress is told; when somebody waits, at the moment at which the longest wait reaches the budget; and once in
        the middle of each lock try, to know who is in the migration's way. Beside short batches hardly ever: who waits
        for one has waited no longer than it has lasted, and each look would be felt as much as a batch.
        """
        half_try = self._gate.settings.lock_timeout / 2
        statement, look_in_try, look, budget, looked = 0.0, _NEVER, 0.0, self.stall_budget, 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if backend.stands_aside:
                continue
            if time.monotonic() < looked + _LOOK_ANYWAY_SECONDS and self._is_too_young_to_stall(backend):
                await asyncio.sleep(min(self.stall_budget / 8, _LONGEST_REST_SECONDS))
                continue
            if self.stall_budget != budget:
                budget, look = self.stall_budget, 0.0
            if backend.started != statement:
                statement = backend.started
                look_in_try = statement + half_try
            if time.monotonic() >= min(look, look_in_try if backend.running else _NEVER):
                began = looked = time.monotonic()
                async with asyncio.timeout(_ANSWER_SECONDS):
                    waits = await self._look(session, backend.pid)
                cost = time.monotonic() - began
                rest = seconds_until_next_look(
                    cost, at_least=min(budget / 2, _LONGEST_REST_SECONDS), at_most=budget - cost
                )
                queued = bool(waits.waits_of(backend.pid))
                look_in_try = time.monotonic() + half_try if queued else _NEVER
                due = await self._judge(session, backend, waits)
                look = time.monotonic() + max(_TICK_SECONDS, min(due, rest, self._gate.recorder.look_seconds))
                await self._gate.recorder.look(session, backend.pid, waits)

    def _is_too_young_to_stall(self, backend: "MigrationBackend") -> bool:
        """Tell whether nobody can have waited for half the budget, since a batch is all that could keep them."""
        if backend.batch_began is None or self._gate.recorder.look_seconds != _NEVER:
            return False
        return time.monotonic() - backend.batch_began < self.stall_budget / 2

    async def _look(self, session: Session, pid: int) -> LockWaits:
        """Return who waits for whom, all of it where ``pid`` is concerned."""
        waits = self._clock.measure(await glance(session, pid), time.monotonic())
        if waits.concern(pid):
            waits = self._clock.measure(await take_snapshot(session), time.monotonic())
        return waits

    async def _judge(self, session: Session, backend: "MigrationBackend", waits: LockWaits) -> float:
        """Act on a snapshot; return in how many seconds the longest wait will have to be looked at again."""
        self.blockers = waits.blockers_of(backend.pid) or self.blockers
        victims = waits.victims_of(backend.pid)
        longest = max((victim.waited_seconds for victim in victims), default=0.0)
        self.longest_stall_seconds = max(self.longest_stall_seconds, longest)
        if longest < self.stall_budget:
            return self.stall_budget - longest
        sessions = await describe_sessions(session, [victim.pid for victim in victims])
        # Autovacuum gives way by itself and keeps nobody waiting.
        served = [victim for victim in victims if not _is_background(victim, sessions)]
        longest = max((victim.waited_seconds for victim in served), default=0.0)
        if longest < self.stall_budget:
            return self.stall_budget - longest
        if backend.committing or self._gate.interruption.error is not None:
            return _NEVER
        await self._act(session, backend, waits, served, sessions)
        return _NEVER if self._gate.settings.observe else _ACTED_SECONDS

    async def _act(
        self,
        session: Session,
        backend: "MigrationBackend",
        waits: LockWaits,
        victims: list[Lock],
        sessions: list[Row],
    ) -> None:
        """Let the victims go on."""
        if self._gate.settings.observe:
            if self._reported != backend.started:  # once a statement
                self._reported = backend.started
                evidence = await self._evidence(session, backend, waits, victims, sessions)
                log.warning("would_have_cancelled", reason=evidence.what)
        elif queue := waits.waits_of(backend.pid):
            # Only the queue stalls them, and the queue is left by giving up this try.
            self.cancelled_in_queue = True
            await self._gate.cancel_migration("pg_cancel_backend", backend, queue[0].virtualtransaction)
        else:
            evidence = await self._evidence(session, backend, waits, victims, sessions)
            if not backend.committing:
                self._gate.interruption.request(evidence)

    async def _evidence(
        self,
        session: Session,
        backend: "MigrationBackend",
        waits: LockWaits,
        victims: list[Lock],
        sessions: list[Row],
    ) -> StallBudgetExceededError:
        worst = max(victims, key=lambda victim: victim.waited_seconds)
        ours = waits.held_against(backend.pid, worst)
        table = await describe_relation(session, worst)
        size = f" ({table['size']})" if table["size"] else ""
        names = sorted({row["application_name"] for row in sessions if row["application_name"]})
        statement = shorten_sql(backend.statement, literals=self._gate.settings.show_literals)
        facts = {
            "statement": statement,
            "relation": table["relation"],
            "relation_bytes": table["bytes"],
            "relation_rows": table["rows"],
            "lock_mode": ours.mode if ours else None,
            "victims": len(victims),
            "longest_wait_seconds": round(worst.waited_seconds, 3),
            "application_names": names,
        }
        log.warning("stall_budget_exceeded", **facts)
        whose = f" of {', '.join(names)}" if names else ""
        return StallBudgetExceededError(
            f"{len(victims)} session{'s' if len(victims) > 1 else ''}{whose} waited for the migration, the longest "
            f"{format_duration(round(worst.waited_seconds, 2))}; the stall budget is {format_duration(self.stall_budget)}. "
            f"The migration held {ours.mode if ours else 'a lock'} on {table['relation'] or worst.locktype}{size} "
            f"while it ran: {statement}.",
            remedy=f"{advise(backend.statement) or _SPLIT} In a maintenance window, declare in the revision's file "
            'sage_migrate = {"stall_budget": "30s", "reason": "…"}.',
            facts=facts,
        )


def _is_background(victim: Lock, sessions: list[Row]) -> bool:
    return any(row["pid"] == victim.pid and row["is_background"] for row in sessions)
