"""Refuse a server that cannot take a migration: read-only, a standby, or behind a pooler in transaction mode."""

from sage_migrate.errors import ReadOnlyTargetError, TransactionPoolerError
from sage_migrate.logs import log
from sage_migrate.session import Session, quote_identifier

_OLDEST = 140000


async def check_server(session: Session) -> None:
    """Check that ``session``'s server accepts changes.

    Raises:
        ReadOnlyTargetError: in recovery, or read-only by default.
    """
    (server,) = await session.fetch(
        "SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name,"
        " pg_is_in_recovery() AS in_recovery, current_setting('transaction_read_only') AS read_only,"
        " current_database() AS database, current_user AS role,"
        " (SELECT count(*) FROM pg_stat_replication) AS standbys,"
        " pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all"
    )
    if server["in_recovery"]:
        msg = (
            f"The server of database {server['database']} is in recovery: it is a standby, or still replaying its log."
        )
        raise ReadOnlyTargetError(
            msg, remedy="Connect to the primary (target_session_attrs=read-write finds it among several hosts)."
        )
    if server["read_only"] == "on":
        msg = f"Transactions in database {server['database']} are read-only for role {server['role']}."
        raise ReadOnlyTargetError(
            msg, remedy="Reset default_transaction_read_only for this role or database, or use the role that may alter."
        )
    if server["version"] < _OLDEST:
        log.warning("server_version_untested", version=server["name"], oldest_tested="14")
    if server["standbys"]:
        log.warning(
            "standbys_not_watched",
            standbys=server["standbys"],
            effect="a hot standby replays our ACCESS EXCLUSIVE locks and its readers wait for them, which the primary cannot see",
        )
    if not server["sees_all"]:
        log.warning(
            "evidence_limited",
            effect="who blocks or waits is found all the same, but not what other roles' sessions do",
            remedy=f"GRANT pg_read_all_stats TO {quote_identifier(server['role'])}",
        )
    log.info("server_checked", database=server["database"], role=server["role"], server_version=server["name"])


async def check_pooler(lock: Session, watch: Session) -> None:
    """Refuse a pooler that gives one server session to two clients in turn.

    Both sessions are open, so with a session of their own each must have its own backend. In transaction mode
    a pooler hands both the backend that is free: https://www.pgbouncer.org/features.html

    Raises:
        TransactionPoolerError: the two sessions share a backend.
    """
    mine = await lock.fetch("SELECT pg_backend_pid() AS pid")
    other = await watch.fetch("SELECT pg_backend_pid() AS pid")
    if mine == other:
        await lock.fetch("RESET ALL")  # the backend goes on to the application, without our limits
        msg = (
            "A pooler in transaction mode stands between this run and the server: two sessions were given one backend."
        )
        raise TransactionPoolerError(
            msg,
            remedy="Give the migration a direct URL in SAGE_MIGRATE_DATABASE_URL (Helm: migration.database), and leave the app's "
            "DATABASE_URL on the pooler; or a pool in session mode.",
        )
