"""Who waits for whom, from one snapshot of ``pg_locks``, which every role may read."""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sage_migrate.session import Row, Session, quote_literal

# https://www.postgresql.org/docs/current/explicit-locking.html#TABLE-LOCK-COMPATIBILITY
_MODES = (
    "AccessShare",
    "RowShare",
    "RowExclusive",
    "ShareUpdateExclusive",
    "Share",
    "ShareRowExclusive",
    "Exclusive",
    "AccessExclusive",
)
# Each mode conflicts with every mode from this place in the list on; Share alone is no such range.
_FIRST_CONFLICT = {
    "AccessShare": 7,
    "RowShare": 6,
    "RowExclusive": 4,
    "ShareUpdateExclusive": 3,
    "ShareRowExclusive": 2,
    "Exclusive": 1,
    "AccessExclusive": 0,
}
_CONFLICTS = {
    **{f"{mode}Lock": {f"{other}Lock" for other in _MODES[first:]} for mode, first in _FIRST_CONFLICT.items()},
    "ShareLock": {f"{mode}Lock" for mode in _MODES if mode not in ("AccessShare", "RowShare", "Share")},
}

# Only targets that somebody waits for: on a quiet server of any size the answer is empty. What a target is called is
# made up for the few locks that may be on one, since on a crowded server that would cost as much as the locks' reading.
_SNAPSHOT = """
WITH locks AS MATERIALIZED (SELECT * FROM pg_locks{of_whom}),
near AS MATERIALIZED (
  SELECT pid, virtualtransaction, mode, granted, waitstart, locktype, database, relation,
         concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid) AS target
  FROM locks WHERE (locktype, coalesce(relation, 0)) IN (SELECT locktype, coalesce(relation, 0) FROM locks WHERE NOT granted)
)
SELECT pid, virtualtransaction, mode, granted, locktype, target,
       CASE WHEN database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN relation::regclass::text END AS relation,
       extract(epoch FROM waitstart)::float8 AS waitstart,
       extract(epoch FROM clock_timestamp())::float8 AS now
FROM near WHERE target IN (SELECT target FROM near WHERE NOT granted)
"""
# Looks at pg_locks may take this share of a core of the server: they cost in proportion to the locks that are held there.
_SHARE_OF_A_CORE = 0.01


@dataclass(frozen=True, kw_only=True)
class Lock:
    """One row of the snapshot. ``waited_seconds`` is 0 for a granted lock.

    A prepared transaction has no pid (0 here); its virtual transaction identifies it all the same.
    """

    pid: int
    virtualtransaction: str
    mode: str
    granted: bool
    locktype: str
    target: str
    relation: str | None
    waited_seconds: float
    waitstart: float
    """When the wait began, by the server's clock; infinite for a granted lock, and in a wait's first moment."""


@dataclass(frozen=True)
class LockWaits:
    """A snapshot: the locks of every target that somebody waits for."""

    locks: Sequence[Lock]

    def concern(self, pid: int) -> bool:
        """Tell whether ``pid`` waits, or has a lock on what somebody waits for."""
        return any(lock.pid == pid for lock in self.locks)

    def waits_of(self, pid: int) -> list[Lock]:
        """Return what ``pid`` itself waits for (one lock, or none)."""
        return [lock for lock in self.locks if lock.pid == pid and not lock.granted]

    def blockers_of(self, pid: int) -> list[Lock]:
        """Return the locks that are directly in ``pid``'s way: held, or waited for since before."""
        return [other for wait in self.waits_of(pid) for other in self._in_the_way(wait)]

    def held_against(self, pid: int, wait: Lock) -> Lock | None:
        """Return the strongest lock that ``pid`` holds or queues for on what ``wait`` waits for."""
        ours = [lock for lock in self._by_target[wait.target] if lock.pid == pid]
        return max(ours, key=lambda lock: (_conflict(lock, wait), _strength(lock)), default=None)

    def victims_of(self, pid: int) -> list[Lock]:
        """Return the waits that end only when ``pid`` lets go or gives up, directly or behind another waiter.

        Who is behind another waiter has waited for ``pid`` no longer than that one has.
        """
        victims: dict[int, Lock] = {}
        reached = {pid: float("inf")} if self.concern(pid) else {}
        while reached:
            step: dict[int, Lock] = {}
            for wait in self._waits:
                if wait.pid == pid or wait.pid in victims:
                    continue
                links = [reached[other.pid] for other in self._in_the_way(wait, reached)]
                if links:
                    step[wait.pid] = replace(wait, waited_seconds=min(wait.waited_seconds, max(links)))
            victims |= step
            reached = {each: wait.waited_seconds for each, wait in step.items()}
        return list(victims.values())

    def _in_the_way(self, wait: Lock, pids: Container[int] | None = None) -> list[Lock]:
        return [
            other
            for other in self._by_target[wait.target]
            if (pids is None or other.pid in pids)
            and _conflict(other, wait)
            and (other.granted or other.waitstart < wait.waitstart)
        ]

    @cached_property
    def _waits(self) -> list[Lock]:
        return [lock for lock in self.locks if not lock.granted]

    @cached_property
    def _by_target(self) -> dict[str, list[Lock]]:
        grouped: dict[str, list[Lock]] = defaultdict(list)
        for lock in self.locks:
            grouped[lock.target].append(lock)
        return grouped


class WaitClock:
    """Measure waits by this process's clock as well: the server's may be set while somebody waits."""

    def __init__(self) -> None:
        """Begin without having looked."""
        self._last_look = float("-inf")
        self._seen: dict[tuple[int, str, float], tuple[float, float]] = {}

    def measure(self, waits: LockWaits, now: float) -> LockWaits:
        """Return ``waits``, none longer than since the last look without it, none shorter than since the first with it."""
        seen = {}
        locks = []
        for lock in waits.locks:
            measured = lock
            if not lock.granted:
                key = (lock.pid, lock.target, lock.waitstart)
                absent, present = seen[key] = self._seen.get(key, (self._last_look, now))
                measured = replace(lock, waited_seconds=min(max(lock.waited_seconds, now - present), now - absent))
            locks.append(measured)
        self._seen, self._last_look = seen, now
        return LockWaits(locks)


async def take_snapshot(session: Session) -> LockWaits:
    """Take one snapshot of all targets that somebody waits for."""
    return LockWaits([_lock(row) for row in await session.fetch(_SNAPSHOT.format(of_whom=""))])


async def glance(session: Session, pid: int) -> LockWaits:
    """Take a snapshot of all waits, and of ``pid``'s own locks among their targets: it costs a crowded server less.

    Without a lock of ``pid`` in it, ``pid`` waits for nobody and nobody for ``pid``: behind another waiter one is only where
    that one waits for ``pid`` itself.
    """
    question = _SNAPSHOT.format(of_whom=f" WHERE NOT granted OR pid = {pid}")
    return LockWaits([_lock(row) for row in await session.fetch(question)])


def seconds_until_next_look(cost_seconds: float, *, at_least: float, at_most: float) -> float:
    """Return how long to let the server be after a look that took ``cost_seconds``: longer after a dear one."""
    return min(max(at_least, cost_seconds / _SHARE_OF_A_CORE), at_most)


async def describe_sessions(session: Session, pids: Iterable[int]) -> list[Row]:
    """Return who the sessions are; fields that the role may not see are None."""
    listed = ", ".join(str(pid) for pid in sorted(set(pids))) or "0"
    return await session.fetch(
        "SELECT pid, application_name, usename AS role, state, backend_type, wait_event_type, usesysid IS NULL AS is_background,"  # noqa: S608
        " extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_age_seconds, query"
        f" FROM pg_stat_activity WHERE pid IN ({listed}) ORDER BY pid"
    )


async def describe_relation(session: Session, wait: Lock) -> Row:
    """Return the table that ``wait`` is about and its size, as of its last ANALYZE; None for what is not known.

    Who waits for a row waits for its transaction, and keeps a lock on the row meanwhile, which names the table.
    Functions that measure a table would queue for a lock on it; the catalog does not.
    """
    named = "NULL" if wait.relation is None else f"to_regclass({quote_literal(wait.relation)})::oid"
    rows = await session.fetch(
        "SELECT class.oid::regclass::text AS relation, nullif(class.reltuples, -1)::int8 AS rows,"  # noqa: S608  quoted
        " nullif(class.relpages, 0)::int8 * current_setting('block_size')::int8 AS bytes,"
        " pg_size_pretty(nullif(class.relpages, 0)::int8 * current_setting('block_size')::int8) AS size"
        f" FROM pg_class AS class WHERE class.oid = coalesce({named}, (SELECT held.relation FROM pg_locks AS held"
        f"  WHERE held.pid = {wait.pid} AND held.granted AND held.locktype = 'tuple'"
        "  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1))"
    )
    return rows[0] if rows else {"relation": wait.relation, "rows": None, "bytes": None, "size": None}


def _conflict(held: Lock, wanted: Lock) -> bool:
    return held.pid != wanted.pid and held.mode in _CONFLICTS.get(wanted.mode, ())


def _strength(lock: Lock) -> int:
    mode = lock.mode.removesuffix("Lock")
    return _MODES.index(mode) if mode in _MODES else -1


def _lock(row: Row) -> Lock:
    waitstart = row["waitstart"]
    return Lock(
        pid=row["pid"] or 0,
        virtualtransaction=row["virtualtransaction"],
        mode=row["mode"],
        granted=row["granted"],
        locktype=row["locktype"],
        target=row["target"],
        relation=row["relation"],
        waited_seconds=0.0 if waitstart is None else max(0.0, row["now"] - waitstart),
        waitstart=float("inf") if waitstart is None else waitstart,
    )
