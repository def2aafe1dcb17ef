"""Which of the runs that share a fleet does a tenant: by a hash of its name, or by size so that all end at about the same time."""

import hashlib
import heapq
from collections.abc import Mapping, Sequence

from sage_migrate.session import Session, quote_literal

# What a tenant costs whatever its size, as bytes: so those of no size are divided evenly too.
_EACH_BYTES = 8_000_000
# As of the last VACUUM or ANALYZE. Functions that measure a table would queue for a lock on it; the catalog does not.
_OF_SCHEMAS = """
SELECT nspname AS name, (sum(class.relpages + coalesce(toast.relpages, 0)) * current_setting('block_size')::int8)::int8 AS bytes
FROM pg_namespace AS space JOIN pg_class AS class ON class.relnamespace = space.oid AND class.relkind IN ('r', 'm', 'i')
LEFT JOIN pg_class AS toast ON toast.oid = class.reltoastrelid
WHERE nspname IN ({names}) GROUP BY nspname
"""
_OF_DATABASES = """
SELECT datname AS name, pg_database_size(oid) AS bytes FROM pg_database
WHERE datname IN ({names}) AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))
"""


def shard_of(name: str, shards: int) -> int:
    """Return the shard of a tenant by its name, which depends on nothing but that and the number of shards."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % shards


def divide_by_size(sizes: Mapping[str, int], shards: int) -> dict[str, int]:
    """Return the shard of each tenant: the largest first, each to the shard that has the least so far."""
    shard: dict[str, int] = {}
    loads = [(0, number) for number in range(shards)]
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)):
        load, shard[name] = loads[0]
        heapq.heapreplace(loads, (load + sizes[name] + _EACH_BYTES, shard[name]))
    return shard


async def read_sizes(session: Session, names: Sequence[str], kind: str) -> dict[str, int]:
    """Return the bytes of each schema or database; 0 of one whose size is not known here."""
    sizes = dict.fromkeys(names, 0)
    if names and kind != "argument":
        sql = _OF_SCHEMAS if kind == "schema" else _OF_DATABASES
        rows = await session.fetch(sql.format(names=", ".join(map(quote_literal, names))))
        sizes |= {row["name"]: row["bytes"] for row in rows}
    return sizes
