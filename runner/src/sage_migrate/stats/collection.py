"""Reads sizes, write counts and the shape of columns from catalogs and statistics, in a session that can change nothing."""

import contextlib
from typing import Any

import asyncpg

from sage_migrate.session import Session, set_config_sql
from sage_migrate.stats.sizes import FORMAT

# A partitioned table has no rows of its own: it is as big as its partitions.
# https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
_TABLES = """
SELECT n.nspname AS schema, c.relname AS name,
       CASE c.relkind WHEN 'p' THEN 'partitioned table' WHEN 'm' THEN 'materialized view'
            ELSE CASE WHEN c.relispartition THEN 'partition' ELSE 'table' END END AS kind,
       CASE WHEN bool_and(leaf.reltuples >= 0) THEN sum(leaf.reltuples)::bigint END AS rows,
       coalesce(sum(pg_table_size(leaf.oid)), 0)::bigint AS table_bytes,
       coalesce(sum(pg_indexes_size(leaf.oid)), 0)::bigint AS index_bytes,
       coalesce(sum(s.n_tup_ins), 0)::bigint AS inserted,
       coalesce(sum(s.n_tup_upd), 0)::bigint AS updated,
       coalesce(sum(s.n_tup_del), 0)::bigint AS deleted
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
       SELECT c.oid, c.reltuples WHERE c.relkind <> 'p'
       UNION ALL
       SELECT leaf.oid, leaf.reltuples FROM pg_partition_tree(c.oid) tree JOIN pg_class leaf ON leaf.oid = tree.relid
        WHERE c.relkind = 'p' AND leaf.relkind = 'r'
       ) leaf ON true
  LEFT JOIN pg_stat_user_tables s ON s.relid = leaf.oid
 WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND NOT pg_is_other_temp_schema(n.oid)
 GROUP BY c.oid, n.nspname, c.relname, c.relkind, c.relispartition
 ORDER BY n.nspname, c.relname
"""
# Never a value: the most common ones and the histogram's bounds are data. A partitioned table has inherited statistics alone;
# of an ancestor of other tables its own rows count, so they come last.
# https://www.postgresql.org/docs/current/view-pg-stats.html
_COLUMNS = """
SELECT schemaname AS schema, tablename AS table, attname AS name,
       null_frac::float8 AS null_frac, avg_width, n_distinct::float8 AS n_distinct
  FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
 ORDER BY schemaname, tablename, inherited DESC, attname
"""
_SINCE = """
SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS made_at,
       current_setting('server_version') AS server_version,
       extract(epoch FROM now() - stats_reset)::float8 AS seconds
  FROM pg_stat_database WHERE datname = current_database()
"""
# Statistics that nobody ever reset count since initdb, whose time is the upper half of the system's identifier.
_CLUSTER_AGE = (
    "SELECT extract(epoch FROM now())::float8 - (system_identifier >> 32)::float8 AS seconds FROM pg_control_system()"
)


async def collect(session: Session) -> dict[str, Any]:
    """Return the file's content.

    Raises:
        asyncpg.LockNotAvailableError: a table is locked in ACCESS EXCLUSIVE mode.
    """
    await session.fetch(set_config_sql({"default_transaction_read_only": "on"}))
    (about,) = await session.fetch(_SINCE)
    seconds = about["seconds"]
    if seconds is None:
        with contextlib.suppress(asyncpg.PostgresError):  # a provider may have withdrawn the right
            seconds = (await session.fetch(_CLUSTER_AGE))[0]["seconds"]
    tables = await session.fetch(_TABLES)
    columns: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for column in await session.fetch(_COLUMNS):
        of_table = columns.setdefault((column.pop("schema"), column.pop("table")), {})
        of_table[column["name"]] = column
    for table in tables:
        writes = table.pop("inserted") + table.pop("updated") + table.pop("deleted")
        table["writes_per_second"] = round(writes / seconds, 3) if seconds and seconds > 0 else None
        table["columns"] = list(columns.get((table["schema"], table["name"]), {}).values())
    return {
        "format": FORMAT,
        "made_at": about["made_at"],
        "server_version": about["server_version"],
        "writes_counted_seconds": round(seconds) if seconds else None,
        "tables": tables,
    }
