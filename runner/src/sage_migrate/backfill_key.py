"""What orders a backfill's batches: the columns of a key that an index serves, compared as rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from sage_migrate.declarations import Backfill
from sage_migrate.errors import MigrationFailedError
from sage_migrate.session import Session, quote_identifier, quote_literal


@dataclass(frozen=True, kw_only=True)
class Key:
    """The columns that order the table, as SQL."""

    names: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def identity(self) -> tuple[str, ...]:
        """What a mark must have been noted of, to be compared with: another table's column may have the name alone."""
        return tuple(f"{name} {type_}" for name, type_ in zip(self.names, self.types, strict=True))

    @property
    def columns(self) -> str:
        """The columns, quoted."""
        return ", ".join(map(quote_identifier, self.names))

    def compared(self, operator: str, values: Sequence[str]) -> str:
        """Return a comparison of rows, which an index on the key serves."""
        literals = ", ".join(f"{quote_literal(v)}::{t}" for v, t in zip(values, self.types, strict=True))
        return f"({self.columns}) {operator} ({literals})"

    def described(self, values: Sequence[str]) -> str:
        """Return a row's key for a person."""
        return ", ".join(f"{name} = {value}" for name, value in zip(self.names, values, strict=True))


async def read_key(session: Session, declared: Backfill, revision: str) -> Key:
    """Return the declared key, or the primary one.

    Raises:
        MigrationFailedError: there is none, or it cannot serve.
    """
    table = quote_literal(declared.table)
    (found,) = await session.fetch(f"SELECT to_regclass({table}) IS NULL AS absent")
    if found["absent"]:
        raise _unusable(revision, f"there is no table {declared.table}", "Make it in an earlier revision.")
    rows = await session.fetch(
        "SELECT attribute.attname::text AS name, format_type(attribute.atttypid, -1) AS type,"  # noqa: S608
        # PostgreSQL 18 has NOT NULL constraints that are NOT VALID: a NULL that was there before is in no range of the key.
        " attribute.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attribute.attrelid AND contype = 'n'"
        " AND NOT convalidated AND conkey = ARRAY[attribute.attnum]) AS full,"
        " index.indisprimary AS primary, index.indexrelid::int8 AS index"
        " FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"
        " JOIN pg_am AS method ON method.oid = class.relam AND method.amname = 'btree'"
        " CROSS JOIN unnest(index.indkey) WITH ORDINALITY AS part (number, place)"
        # Of an expression there is none.
        " LEFT JOIN pg_attribute AS attribute ON attribute.attrelid = index.indrelid AND attribute.attnum = part.number"
        f" WHERE index.indrelid = {table}::regclass AND index.indisvalid AND index.indpred IS NULL"
        " AND part.place <= index.indnkeyatts ORDER BY index.indexrelid, part.place"
    )
    wanted = declared.key
    for index in {row["index"]: None for row in rows}:
        columns = [row for row in rows if row["index"] == index]
        served = columns[: len(wanted)] if wanted else columns
        fits = tuple(row["name"] for row in served) == wanted if wanted else columns[0]["primary"]
        if fits and all(row["full"] for row in served):
            return Key(names=tuple(row["name"] for row in served), types=tuple(row["type"] for row in served))
    if wanted:
        raise _unusable(
            revision,
            f"no index of {declared.table} begins with the NOT NULL columns {', '.join(wanted)}",
            "Name the columns of one in `key`, in its order.",
        )
    raise _unusable(revision, f"{declared.table} has no primary key", "Name the NOT NULL columns of an index in `key`.")


def _unusable(revision: str, why: str, remedy: str) -> MigrationFailedError:
    return MigrationFailedError(
        f"The backfill of revision {revision} cannot be run: {why}.",
        remedy=remedy,
        facts={"revision": revision},
    )
