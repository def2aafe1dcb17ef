"""Who waits for whom, from one snapshot of ``pg_locks``, which every role may read."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sage_migrate.session import Row, Session

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

# Only targets that somebody waits for: on a quiet server of any size the answer is empty.
_SNAPSHOT = """
WITH locks AS MATERIALIZED (
  SELECT pid, virtualtransaction, mode, granted, waitstart, locktype, database, relation,
         concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid) AS target
  FROM pg_locks
)
SELECT pid, virtualtransaction, mode, granted, locktype, target,
       CASE WHEN database = (SELECT oid FROM pg_database WHERE datname = current_database())
            THEN relation::regclass::text END AS relation,
       extract(epoch FROM waitstart)::float8 AS waitstart,
       extract(epoch FROM clock_timestamp())::float8 AS now
FROM locks WHERE target IN (SELECT target FROM locks WHERE NOT granted)
"""


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


@dataclass(frozen=True)
class LockWaits:
    """A snapshot: the locks of every target that somebody waits for."""

    locks: Sequence[Lock]

    def waits_of(self, pid: int) -> list[Lock]:
        """Return what ``pid`` itself waits for (one lock, or none)."""
        return [lock for lock in self.locks if lock.pid == pid and not lock.granted]

    def blockers_of(self, pid: int) -> list[Lock]:
        """Return the granted locks that are directly in ``pid``'s way."""
        found = []
        for wait in self.waits_of(pid):
            found += [other for other in self._by_target[wait.target] if other.granted and _conflict(other, wait)]
        return found

    def victims_of(self, pid: int) -> list[Lock]:
        """Return the waits that end only when ``pid`` lets go or gives up, directly or behind another waiter."""
        victims: dict[int, Lock] = {}
        reached = {pid}
        while reached:
            step = {
                wait.pid: wait
                for wait in self._waits
                if wait.pid not in victims and wait.pid != pid and self._waits_for(wait, reached)
            }
            victims |= step
            reached = set(step)
        return list(victims.values())

    def _waits_for(self, wait: Lock, pids: Iterable[int]) -> bool:
        return any(
            other.pid in pids
            and _conflict(other, wait)
            and (other.granted or other.waited_seconds > wait.waited_seconds)
            for other in self._by_target[wait.target]
        )

    @cached_property
    def _waits(self) -> list[Lock]:
        return [lock for lock in self.locks if not lock.granted]

    @cached_property
    def _by_target(self) -> dict[str, list[Lock]]:
        grouped: dict[str, list[Lock]] = defaultdict(list)
        for lock in self.locks:
            grouped[lock.target].append(lock)
        return grouped


async def take_snapshot(session: Session) -> LockWaits:
    """Take one snapshot of all targets that somebody waits for."""
    return LockWaits([_lock(row) for row in await session.fetch(_SNAPSHOT)])


async def describe_sessions(session: Session, pids: Iterable[int]) -> list[Row]:
    """Return who the sessions are; fields that the role may not see are None."""
    listed = ", ".join(str(pid) for pid in sorted(set(pids))) or "0"
    return await session.fetch(
        "SELECT pid, application_name, usename AS role, state, backend_type, wait_event_type, usesysid IS NULL AS is_background,"  # noqa: S608
        " extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_age_seconds, query"
        f" FROM pg_stat_activity WHERE pid IN ({listed}) ORDER BY pid"
    )


def _conflict(held: Lock, wanted: Lock) -> bool:
    return held.pid != wanted.pid and held.mode in _CONFLICTS.get(wanted.mode, ())


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
    )
