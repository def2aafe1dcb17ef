"""Queue for a lock politely: short tries, and between them wait until those who were in the way are gone.

A try stalls the application for at most ``lock_timeout``; a look at ``pg_locks`` queues for nothing and stalls
nobody. So while a long reader runs there is one try, then looks, then one more try.
"""

import asyncio
import random
import time
from collections.abc import Sequence

from sage_migrate.errors import LockNotObtainedError
from sage_migrate.lock_waits import Lock, describe_sessions
from sage_migrate.logs import log
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Session, quote_literal

_LOOK_SECONDS = 0.1
_JITTER_SECONDS = 0.2
_SAY_SECONDS = 5.0


async def wait_for_blockers(
    session: Session, blockers: Sequence[Lock], *, revision: str, tries: int, show_literals: bool
) -> None:
    """Return when none of ``blockers`` holds its lock any more, and a random moment later.

    The caller bounds it by the deadline.
    """
    started = time.monotonic()
    said = float("-inf")
    # Nobody seen (a deadlock, or a try that was over before the look): a wait that grows with the tries.
    left: Sequence[Lock] = blockers
    await asyncio.sleep(random.uniform(0, _JITTER_SECONDS if blockers else min(5.0, 0.1 * 2 ** min(tries, 6))))  # noqa: S311  jitter
    while left := await _still_there(session, left):
        waited = time.monotonic() - started
        if waited - said >= _SAY_SECONDS:
            said = waited
            log.info(
                "lock_awaited",
                revision=revision,
                tries=tries,
                waited_seconds=round(waited, 3),
                blockers=await describe_blockers(session, left, show_literals=show_literals),
            )
        await asyncio.sleep(_LOOK_SECONDS * random.uniform(0.5, 1))  # noqa: S311  jitter


async def describe_blockers(
    session: Session, blockers: Sequence[Lock], *, show_literals: bool
) -> list[dict[str, object]]:
    """Return who is in the way, for the log."""
    known = {row["pid"]: row for row in await describe_sessions(session, [lock.pid for lock in blockers])}
    described = []
    for lock in blockers:
        row = known.get(lock.pid, {})
        age = row.get("transaction_age_seconds")
        described.append(
            {
                "pid": lock.pid,
                "relation": lock.relation,
                "mode": lock.mode,
                "application_name": row.get("application_name") or ("prepared transaction" if not lock.pid else None),
                "role": row.get("role"),
                "state": row.get("state"),
                "transaction_age_seconds": None if age is None else round(age, 1),
                "query": shorten_sql(row.get("query") or "", literals=show_literals),
            }
        )
    return described


def lock_not_obtained(
    revision: str, statement: str, blockers: Sequence[Lock], *, sqlstate: str, tries: int
) -> LockNotObtainedError:
    """Return the error for a lock that was not to be had before the deadline."""
    relation = next((lock.relation for lock in blockers if lock.relation), None)
    pids = sorted({lock.pid for lock in blockers if lock.pid})
    on = f" on {relation}" if relation else ""
    held = f"; pid {', '.join(map(str, pids))} held it" if pids else ""
    tried = f"{tries} {'try' if tries == 1 else 'tries'}"
    return LockNotObtainedError(
        f"Revision {revision} did not get its lock{on} in {tried} before the deadline (SQLSTATE {sqlstate}{held}) in: {statement}.",
        remedy="End the transaction that holds it (the lock_try_failed events name it), or run it again when it is gone; "
        "--deadline (Helm: migration.deadline) lengthens the patience.",
        facts={"sqlstate": sqlstate, "revision": revision, "relation": relation, "blocker_pids": pids, "tries": tries},
    )


async def wait_a_moment() -> None:
    """Wait about a second, for a database that only env.py can ask."""
    await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  jitter


async def _still_there(session: Session, blockers: Sequence[Lock]) -> list[Lock]:
    if not blockers:
        return []
    transactions = ", ".join({quote_literal(lock.virtualtransaction) for lock in blockers})
    rows = await session.fetch(
        "SELECT DISTINCT coalesce(pid, 0) AS pid, virtualtransaction FROM pg_locks"  # noqa: S608  quoted
        f" WHERE granted AND virtualtransaction IN ({transactions})"
    )
    alive = {(row["pid"], row["virtualtransaction"]) for row in rows}
    return [lock for lock in blockers if (lock.pid, lock.virtualtransaction) in alive]
