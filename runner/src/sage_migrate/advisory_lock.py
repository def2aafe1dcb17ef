"""One runner at a time: a session-level advisory lock, taken by polling on a connection of its own.

A blocking ``pg_advisory_lock`` would hold a snapshot while it waits, and CREATE INDEX CONCURRENTLY in the
lock's holder waits for every snapshot: a deadlock that nothing detects (golang-migrate issue 960).
"""

import asyncio
import hashlib
import random
import secrets
import time

from sage_migrate.errors import RunnerLockTimeoutError
from sage_migrate.logs import log
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Session

_POLL_SECONDS = 0.5
_SAY_SECONDS = 5.0
# One key for a database: two histories in one database take turns, which harms nobody.
LOCK_KEY = int.from_bytes(hashlib.sha256(b"sage-migrate").digest()[:8], signed=True)


async def acquire_lock(session: Session, *, if_locked: str) -> tuple[int, int]:
    """Take the runner's lock, however long it takes, and return the session's pid and a token.

    The caller bounds it by the deadline. The token is the key of a second advisory lock, random for this
    run: who finds it in ``pg_locks`` is connected to the very database in which the lock is held.

    Raises:
        RunnerLockTimeoutError: it is held, and ``if_locked`` is ``fail``.
    """
    started = time.monotonic()
    said = float("-inf")
    while True:
        (row,) = await session.fetch(f"SELECT pg_try_advisory_lock({LOCK_KEY}) AS taken, pg_backend_pid() AS pid")
        waited = time.monotonic() - started
        if row["taken"]:
            break
        if if_locked == "fail":
            holder = await _holder(session)
            raise RunnerLockTimeoutError(
                f"Another runner holds the migration lock (pid {holder['pid'] if holder else 'gone'}).",
                remedy="Run this again when it has ended; --if-locked wait waits for it.",
                facts={"holder": holder},
            )
        if waited - said >= _SAY_SECONDS:
            said = waited
            log.info("runner_lock_awaited", waited_seconds=round(waited, 3), holder=await _holder(session))
        await asyncio.sleep(_POLL_SECONDS * random.uniform(0.5, 1))  # noqa: S311  jitter
    token = secrets.randbits(62)
    await session.fetch(f"SELECT pg_advisory_lock_shared({token})")
    log.info("runner_lock_taken", waited_seconds=round(waited, 3), pid=row["pid"])
    return row["pid"], token


def holds_lock_sql(pid: int, token: int) -> str:
    """Return an expression that is true in the database in which session ``pid`` holds ``token``."""
    return (
        "EXISTS (SELECT FROM pg_locks AS held JOIN pg_database AS here ON here.oid = held.database"
        f" WHERE held.locktype = 'advisory' AND held.pid = {pid} AND held.granted"
        f" AND held.classid = {token >> 32}::oid AND held.objid = {token & 0xFFFFFFFF}::oid AND held.objsubid = 1"
        " AND here.datname = current_database())"
    )


async def _holder(session: Session) -> dict[str, object] | None:
    rows = await session.fetch(
        "SELECT held.pid, activity.usename AS role, activity.application_name, host(activity.client_addr) AS client,"  # noqa: S608
        " activity.state, extract(epoch FROM clock_timestamp() - activity.backend_start)::float8 AS connected_seconds,"
        " activity.query FROM pg_locks AS held LEFT JOIN pg_stat_activity AS activity USING (pid)"
        f" WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1"
        f" AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND held.classid = {(LOCK_KEY >> 32) & 0xFFFFFFFF}::oid AND held.objid = {LOCK_KEY & 0xFFFFFFFF}::oid"
    )
    if not rows:
        return None
    return {**rows[0], "query": shorten_sql(rows[0]["query"] or "")}
