"""Who is in the migration's way: tell, look whether they are gone, and send away those who may be sent."""

from collections.abc import Sequence

from sage_migrate.lock_waits import Lock, describe_sessions
from sage_migrate.logs import log
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Row, Session, is_broken, quote_literal, set_owner_sql
from sage_migrate.settings import Settings

_INSUFFICIENT_PRIVILEGE = "42501"


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
                "application_name": row.get("application_name") or _kind(lock, row),
                "role": row.get("role"),
                "state": row.get("state"),
                "transaction_age_seconds": None if age is None else round(age, 1),
                "query": shorten_sql(row.get("query") or "", literals=show_literals),
            }
        )
    return described


def _kind(lock: Lock, row: Row) -> str | None:
    if not lock.pid:
        return "prepared transaction"
    return "autovacuum" if row.get("is_background") else None


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


async def nudge_autovacuum(session: Session, blockers: Sequence[Lock]) -> None:
    """Make the autovacuums among ``blockers`` go, which they do without harm; one against wraparound stays."""
    known = {row["pid"]: row for row in await describe_sessions(session, [lock.pid for lock in blockers])}
    for lock in blockers:
        if lock.pid in known and known[lock.pid]["is_background"] and lock.relation:
            await _nudge(session, lock)


async def end_idle(session: Session, blockers: Sequence[Lock], settings: Settings) -> bool:
    """End those of ``blockers`` that idle in a transaction, as the operator allowed; return whether to do so again.

    By default none. Both conditions count where both are given. They are asked and acted on in one statement: a session that has
    gone back to work meanwhile, or another one with its pid, is let be.
    """
    after, names = settings.terminate_idle_after, settings.terminate_idle_applications
    if after is None and names is None:
        return False
    pids = ", ".join(str(lock.pid) for lock in blockers)
    conditions = ["state = 'idle in transaction'", f"pid IN ({pids})"]
    if after is not None:
        conditions.append(f"xact_start < clock_timestamp() - interval '{after} seconds'")
    if names is not None:
        listed = ", ".join(quote_literal(name.strip()) for name in names.split(","))
        conditions.append(f"application_name IN ({listed})")
    try:
        ended = await session.fetch(
            "SELECT pid, application_name, pg_terminate_backend(pid) AS ended FROM pg_stat_activity"  # noqa: S608  quoted
            f" WHERE {' AND '.join(conditions)}"
        )
    except Exception as error:
        if _sqlstate(error) != _INSUFFICIENT_PRIVILEGE:
            raise
        log.warning("blocker_not_terminated", pids=pids, remedy="GRANT pg_signal_backend to the migrating role")
        return False
    for row in ended:
        relation = next(lock.relation for lock in blockers if lock.pid == row["pid"])
        log.warning("blocker_terminated", pid=row["pid"], application_name=row["application_name"], relation=relation)
    return True


async def _nudge(session: Session, lock: Lock) -> None:
    """Wait for a lock that stalls nobody, for as long as makes an autovacuum give way.

    PostgreSQL cancels an autovacuum that somebody has waited for longer than deadlock_timeout, so tries of 0.1 s
    never get past one. SHARE UPDATE EXCLUSIVE conflicts with neither reads nor writes. A vacuum to prevent
    wraparound stays: it is waited for.
    """
    assert lock.relation is not None
    try:
        await session.fetch(
            f"DO $nudge$ BEGIN {set_owner_sql(quote_literal(lock.relation))}"
            " PERFORM set_config('lock_timeout', extract(epoch FROM current_setting('deadlock_timeout')::interval)::int + 2 || 's', true);"
            f" LOCK TABLE {lock.relation} IN SHARE UPDATE EXCLUSIVE MODE; END $nudge$"
        )
        log.info("autovacuum_gave_way", pid=lock.pid, relation=lock.relation)
    except Exception as error:
        if is_broken(error):
            raise
        log.info("autovacuum_stays", pid=lock.pid, relation=lock.relation, reason=_sqlstate(error))


def _sqlstate(error: Exception) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
