"""Defaults in the database that old code counts on: no statement fails when one is changed, yet its rows differ."""

from collections.abc import Iterator, Sequence

from sage_migrate.trace.catalog import OURS
from sage_migrate.trace.old_code.from_tables import MappedTable
from sage_migrate.trace.results import Breakage
from sage_migrate.trace.scratch_database import ScratchSession

_DEFAULTS = f"""
SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS table_name, a.attname AS name, pg_get_expr(d.adbin, d.adrelid) AS text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND c.relkind IN ('r', 'p') AND {OURS}
"""  # noqa: E501, S608  SQL of our own

Defaults = dict[tuple[str, str], str | None]


def read_defaults(session: ScratchSession) -> Defaults:
    """Return the text of each column's default, None where it has none."""
    return {(row["table_name"], row["name"]): row["text"] for row in session.rows(_DEFAULTS)}


def changed_defaults(tables: Sequence[MappedTable], before: Defaults, now: Defaults) -> Iterator[Breakage]:
    """Yield the defaults that old code counts on and that are others now."""
    for table in tables:
        for column in table.columns:
            key = (table.name, column.name)
            was = before.get(key)
            if column.relies_on_default and was is not None and key in now and _plain(now[key]) != _plain(was):
                yield Breakage(
                    sql=f"INSERT INTO {table.quoted}, without {column.name}",
                    source=column.source or table.source,
                    relations=(table.name,),
                    sqlstate="",
                    problem=f"the default of {column.name} was {was} and is {now[key] or 'none'}",
                )


def _plain(text: str | None) -> str | None:
    """Return a default without the cast to its column's type, which changes with that."""
    return None if text is None else text.partition("::")[0] if text.startswith("'") else text
