"""One runner at a time: a session-level advisory lock, taken by polling on a connection of its own.

A blocking ``pg_advisory_lock`` would hold a snapshot while it waits, and CREATE INDEX CONCURRENTLY in the
lock's holder waits for every snapshot: a deadlock that nothing detects (golang-migrate issue 960).
"""

import asyncio
import hashlib
import random
import secrets
import time
from collections.abc import Sequence

from sage_migrate.errors import RunnerLockTimeoutError
from sage_migrate.logs import log
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Row, Session

_POLL_SECONDS = 0.5
_SAY_SECONDS = 5.0


def key_of(name: str) -> int:
    """Return the key of the advisory lock that is called so."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


# One key for a database: two histories in one database take turns, which harms nobody.
LOCK_KEY = key_of("sage-migrate")


async def acquire_lock(session: Session, *, if_locked: str, tenants: Sequence[str] | None = None) -> tuple[int, int]:
    """Take the runner's lock, however long it takes, and return the session's pid and a token.

    The caller bounds it by the deadline. The token is the key of a second advisory lock, random for this
    run: who finds it in ``pg_locks`` is connected to the very database in which the lock is held. A run of some
    ``tenants`` of the database shares that lock with runs of others, and holds these tenants' locks alone.

    Raises:
        RunnerLockTimeoutError: it is held, and ``if_locked`` is ``fail``.
    """
    waited, pid = await take_lock(session, LOCK_KEY, if_locked=if_locked, shared=tenants is not None)
    for tenant in tenants or ():
        await take_lock(session, tenant_key(tenant), if_locked=if_locked)
    token = secrets.randbits(62)
    await session.fetch(f"SELECT pg_advisory_lock_shared({token})")
    log.info("runner_lock_taken", waited_seconds=round(waited, 3), pid=pid)
    return pid, token


async def release_lock(session: Session, key: int) -> None:
    """Give back one advisory lock."""
    await session.fetch(f"SELECT pg_advisory_unlock({key})")


def tenant_key(tenant: str) -> int:
    """Return the key of the lock that one tenant's run holds beside the database's, which it shares."""
    return key_of(f"sage-migrate tenant {tenant}")


async def take_lock(
    session: Session, key: int, *, if_locked: str, shared: bool = False, instead_of: int | None = None
) -> tuple[float, int]:
    """Take one advisory lock by polling; return how many seconds that took, and the session's pid.

    The lock that it is taken ``instead_of`` is given back first, by the same statement.

    Raises:
        RunnerLockTimeoutError: it is held, and ``if_locked`` is ``fail``.
    """
    started = time.monotonic()
    said = float("-inf")
    function = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    while True:
        unlock, instead_of = f"pg_advisory_unlock({instead_of}), " if instead_of is not None else "", None
        (row,) = await session.fetch(f"SELECT {unlock}{function}({key}) AS taken, pg_backend_pid() AS pid")
        waited = time.monotonic() - started
        if row["taken"]:
            return waited, row["pid"]
        if if_locked == "fail":
            holder = await lock_holder(session, key)
            raise RunnerLockTimeoutError(
                f"Another runner holds the migration lock (pid {holder['pid'] if holder else 'gone'}).",
                remedy="Run this again when it has ended; --if-locked wait waits for it.",
                facts={"holder": holder},
            )
        if waited - said >= _SAY_SECONDS:
            said = waited
            log.info("runner_lock_awaited", waited_seconds=round(waited, 3), holder=await lock_holder(session, key))
        await asyncio.sleep(_POLL_SECONDS * random.uniform(0.5, 1))  # noqa: S311  jitter


def holds_lock_sql(pid: int, token: int) -> str:
    """Return an expression that is true in the database in which session ``pid`` holds ``token``."""
    return (
        "EXISTS (SELECT FROM pg_locks AS held JOIN pg_database AS here ON here.oid = held.database"
        f" WHERE held.locktype = 'advisory' AND held.pid = {pid} AND held.granted"
        f" AND held.classid = {token >> 32}::oid AND held.objid = {token & 0xFFFFFFFF}::oid AND held.objsubid = 1"
        " AND here.datname = current_database())"
    )


async def lock_holder(session: Session, key: int = LOCK_KEY) -> Row | None:
    """Return who holds the runner's lock in this database, None where nobody does."""
    rows = await session.fetch(
        "SELECT held.pid, activity.usename AS role, activity.application_name, host(activity.client_addr) AS client,"  # noqa: S608
        " activity.state, extract(epoch FROM clock_timestamp() - activity.backend_start)::float8 AS connected_seconds,"
        " activity.query FROM pg_locks AS held LEFT JOIN pg_stat_activity AS activity USING (pid)"
        f" WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1"
        f" AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND held.classid = {(key >> 32) & 0xFFFFFFFF}::oid AND held.objid = {key & 0xFFFFFFFF}::oid"
    )
    if not rows:
        return None
    return {**rows[0], "query": shorten_sql(rows[0]["query"] or "")}
