"""Read which locks on relations the migration holds, from the gate's second session.

That is exact as well: between two statements the migration's session is idle and its locks stand still. And it
cannot change what the migration does, as a query inside its transaction could: abort it by a timeout that the
revision has set, or take the snapshot before a ``SET TRANSACTION ISOLATION LEVEL``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sage_migrate.session import Session, quote_literal

# The migration's locks are held while this runs, so it joins nothing. Below 16384 are the system's own relations.
# https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT
_LOCKS = """
SELECT relation::int8 AS oid, mode FROM pg_locks
WHERE pid = {pid} AND granted AND locktype = 'relation' AND relation >= 16384
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RELATIONS = """
SELECT c.oid::int8 AS oid, c.oid::regclass::text AS relation, i.indrelid::regclass::text AS indexed_table
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.oid IN ({oids}) AND n.nspname !~ '^pg_(toast|temp)'
  AND coalesce(i.indrelid, c.oid) IS DISTINCT FROM to_regclass({version_table})
"""


@dataclass(frozen=True, kw_only=True)
class ReadLock:
    """A lock that is held; ``table`` where the relation is an index of it."""

    relation: str
    mode: str
    table: str | None


class LockReader:
    """Read locks, and ask for the name of each relation once.

    Left out are Alembic's version table and what the migration's transaction made: nobody else can see that, so
    the second session does not find it in pg_class. A table that it dropped is still found there.
    """

    def __init__(self) -> None:
        """Know no relation yet."""
        self.version_table = ""
        self._known: dict[int, tuple[str, str | None]] = {}
        self._left_out: set[int] = set()

    async def read(self, session: Session, pid: int) -> list[ReadLock]:
        """Return the locks that ``pid`` holds."""
        held = [(row["oid"], row["mode"]) for row in await session.fetch(_LOCKS.format(pid=int(pid)))]
        await self._learn(session, {oid for oid, _ in held} - self._known.keys() - self._left_out)
        named = [(*self._known[oid], mode) for oid, mode in sorted(held) if oid in self._known]
        return [ReadLock(relation=relation, mode=mode, table=table) for relation, table, mode in named]

    def forget_transaction(self) -> None:
        """Forget what was left out: it is seen by everybody once it is committed."""
        self._left_out = set()

    async def _learn(self, session: Session, oids: Iterable[int]) -> None:
        listed = ", ".join(str(oid) for oid in sorted(oids))
        if not listed:
            return
        table = quote_literal(self.version_table)
        for row in await session.fetch(_RELATIONS.format(oids=listed, version_table=table)):
            self._known[row["oid"]] = (row["relation"], row["indexed_table"])
        self._left_out |= set(oids) - self._known.keys()
