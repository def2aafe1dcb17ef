"""Queue for a lock politely: short tries, and between them wait until those who were in the way are gone.

A try stalls the application for at most ``lock_timeout``; a look at ``pg_locks`` queues for nothing and stalls
nobody. So while a long reader runs there is one try, then looks, then one more try.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

from sage_migrate.blockers import describe_blockers, end_idle, nudge_autovacuum, still_there
from sage_migrate.errors import LockNotObtainedError
from sage_migrate.lock_waits import Lock, seconds_until_next_look
from sage_migrate.logs import log
from sage_migrate.session import Session
from sage_migrate.settings import Settings

_LOOK_SECONDS = 0.1
# A crowded server is looked at less often. The lock is still had within a second of the moment at which it can be.
_LONGEST_LOOK_SECONDS = 0.8
_JITTER_SECONDS = 0.2
_LONGEST_BLIND_WAIT_SECONDS = 5.0
_SAY_SECONDS = 5.0


async def wait_for_blockers(
    session: Session, blockers: Sequence[Lock], settings: Settings, *, revision: str | None, tries: int
) -> None:
    """Return when none of ``blockers`` holds its lock any more, and a random moment later.

    The caller bounds it by the deadline.
    """
    started = said = time.monotonic()  # the try that failed has just told who they are
    # Nobody seen (a deadlock, or a try that was over before the look): a wait that grows with the tries.
    longest = _JITTER_SECONDS if blockers else min(_LONGEST_BLIND_WAIT_SECONDS, 0.1 * 2 ** min(tries, 6))
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  jitter
    left: Sequence[Lock] = await still_there(session, blockers)
    if left:
        await nudge_autovacuum(session, left)
    may_end = True
    while True:
        looked = time.monotonic()
        left = await still_there(session, left)
        cost = time.monotonic() - looked
        if not left:
            return
        may_end = may_end and await end_idle(session, left, settings)
        if time.monotonic() - said >= _SAY_SECONDS:
            said = time.monotonic()
            log.info(
                "lock_awaited",
                revision=revision,
                tries=tries,
                waited_seconds=round(said - started, 3),
                blockers=await describe_blockers(session, left, show_literals=settings.show_literals),
            )
        jitter = random.uniform(0.5, 1) * _LOOK_SECONDS  # noqa: S311
        await asyncio.sleep(seconds_until_next_look(cost, at_least=jitter, at_most=_LONGEST_LOOK_SECONDS))


def lock_not_obtained(  # noqa: PLR0913  what is known of a failed try
    revision: str | None,
    statement: str,
    blockers: Sequence[Lock],
    described: Sequence[Mapping[str, object]],
    *,
    sqlstate: str,
    tries: int,
) -> LockNotObtainedError:
    """Return the error for a lock that was not to be had before the deadline; ``described`` as `describe_blockers`."""
    relation = next((lock.relation for lock in blockers if lock.relation), None)
    pids = sorted({lock.pid for lock in blockers if lock.pid and lock.granted})
    names = {each["pid"]: each["application_name"] for each in described}
    holders = [f"{names[pid]} with pid {pid}" if names.get(pid) else f"pid {pid}" for pid in pids]
    if any(lock.granted and not lock.pid for lock in blockers):
        holders.append("a prepared transaction")
    on = f" on {relation}" if relation else ""
    held = f"; {', '.join(holders)} held it" if holders else ""
    tried = f"{tries} {'try' if tries == 1 else 'tries'}"
    who = f"Revision {revision}" if revision else "env.py"
    return LockNotObtainedError(
        f"{who} did not get its lock{on} in {tried} before the deadline (SQLSTATE {sqlstate}{held}) in: {statement}.",
        remedy="End the transaction that holds it (the lock_try_failed events name it), or run it again when it is gone; "
        "--deadline (Helm: migration.deadline) lengthens the patience.",
        facts={
            "sqlstate": sqlstate,
            "revision": revision,
            "relation": relation,
            "blocker_pids": pids,
            "application_names": sorted({str(names[pid]) for pid in pids if names.get(pid)}),
            "tries": tries,
        },
    )


async def wait_a_moment() -> None:
    """Wait about a second, for a database that only env.py can ask."""
    await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  jitter
