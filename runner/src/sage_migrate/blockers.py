"""Who is in the migration's way: tell, look whether they are gone, and send away those who may be sent."""

from collections.abc import Sequence

from sage_migrate.lock_waits import Lock, describe_sessions
from sage_migrate.logs import log
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Row, Session, quote_literal
from sage_migrate.settings import Settings

# Autovacuum gives way to whoever has waited for deadlock_timeout (1 s unless it was changed).
_NUDGE = "3s"


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


async def still_there(session: Session, blockers: Sequence[Lock]) -> list[Lock]:
    """Return those of ``blockers`` whose transaction has not ended."""
    if not blockers:
        return []
    transactions = ", ".join({quote_literal(lock.virtualtransaction) for lock in blockers})
    rows = await session.fetch(
        "SELECT DISTINCT coalesce(pid, 0) AS pid, virtualtransaction FROM pg_locks"  # noqa: S608  quoted
        f" WHERE granted AND virtualtransaction IN ({transactions})"
    )
    alive = {(row["pid"], row["virtualtransaction"]) for row in rows}
    return [lock for lock in blockers if (lock.pid, lock.virtualtransaction) in alive]


async def make_way(session: Session, blockers: Sequence[Lock], settings: Settings) -> None:
    """Send away the blockers that can go without harm: an autovacuum, and what the operator allowed to end."""
    known = {row["pid"]: row for row in await describe_sessions(session, [lock.pid for lock in blockers])}
    for lock in blockers:
        row = known.get(lock.pid)
        if row is not None and row["is_background"] and lock.relation:
            await _nudge_autovacuum(session, lock)
        elif row is not None and _may_be_ended(row, settings):
            log.warning(
                "blocker_terminated", pid=lock.pid, application_name=row["application_name"], relation=lock.relation
            )
            await session.fetch(f"SELECT pg_terminate_backend({lock.pid})")


async def _nudge_autovacuum(session: Session, lock: Lock) -> None:
    """Wait for a lock that stalls nobody, for as long as makes an autovacuum give way.

    PostgreSQL cancels an autovacuum that somebody has waited for longer than deadlock_timeout, so tries of 0.1 s
    never get past one. SHARE UPDATE EXCLUSIVE conflicts with neither reads nor writes. A vacuum to prevent
    wraparound stays: it is waited for.
    """
    sql = f"LOCK TABLE {lock.relation} IN SHARE UPDATE EXCLUSIVE MODE"
    try:
        await session.fetch(
            f"DO $nudge$ BEGIN PERFORM set_config('lock_timeout', '{_NUDGE}', true); {sql}; END $nudge$"
        )
        log.info("autovacuum_gave_way", pid=lock.pid, relation=lock.relation)
    except Exception as error:  # noqa: BLE001  any driver's: the blocker is then waited for like any other
        reason = getattr(error, "sqlstate", None) or type(error).__name__
        log.info("autovacuum_stays", pid=lock.pid, relation=lock.relation, reason=reason)


def _may_be_ended(row: Row, settings: Settings) -> bool:
    """Tell whether the operator allowed to end this session; both conditions count where both are given."""
    after, names = settings.terminate_idle_after, settings.terminate_idle_applications
    if (after is None and names is None) or row["state"] != "idle in transaction":
        return False
    old_enough = after is None or (row["transaction_age_seconds"] or 0) > after
    return old_enough and (names is None or row["application_name"] in {name.strip() for name in names.split(",")})
