"""Expressions of SQL for rows that fit a schema: row ``n`` of a table refers to row ``n`` of the tables it depends on.

So a child table gets fewer rows than its parents, and the row after its last one fits as well: that is what old code
would insert next.
"""
# ruff: noqa: E501, S608  SQL of our own

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from sage_migrate.session import quote_identifier, quote_literal
from sage_migrate.trace.catalog import OURS
from sage_migrate.trace.scratch_database import ScratchSession

_COLUMNS = f"""
SELECT c.oid::int8 AS table_oid, c.oid::regclass::text AS table_name, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS spelled,
  c.relkind::text AS kind, a.attname AS name, a.attnum AS number, format_type(a.atttypid, a.atttypmod) AS type, t.typtype::text AS typtype, t.typcategory::text AS category,
  format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END) AS base_type,
  CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS not_null,
  pg_get_expr(d.adbin, d.adrelid) AS default, a.attidentity::text AS identity, a.attgenerated::text AS generated,
  (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid) AS labels
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {OURS} ORDER BY c.oid, a.attnum
"""
_CONSTRAINTS = f"""
SELECT k.conrelid::int8 AS table_oid, k.contype::text AS kind, k.conname AS name, k.confrelid::int8 AS parent, k.conkey::int2[] AS columns, k.confkey::int2[] AS parent_columns,
  CASE WHEN k.contype = 'c' THEN pg_get_expr(k.conbin, k.conrelid) END AS expression
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'f', 'p', 'u') AND {OURS}
"""
_UNIQUE_INDEXES = f"""
SELECT i.indrelid::int8 AS table_oid, (SELECT array_agg(k::int2) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (k, o) WHERE o <= i.indnkeyatts) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid AND {OURS}
"""
_PARTITIONS = "SELECT inhrelid::int8 AS child, inhparent::int8 AS parent FROM pg_inherits"
_LITERAL = re.compile(r"'((?:[^']|'')*)'|(?<![\w.])(-?\d+(?:\.\d+)?)")
_FREE_TEXT = 24
# What is wider is compressed, or goes to a table of its own.
_WIDEST = 2000
_EMPTY_OBJECT = 20
_DEEPEST = 12
# Tried where a check refuses what the type alone suggests.
_USUAL = (
    "1",
    "0",
    "0.5",
    "100",
    "a",
    "A",
    "aaaaaaaa",
    "user@example.org",
    "https://example.org/a",
    "2024-06-01",
    "true",
    "{}",
    "[]",
    "DE",
    "EUR",
    "+491701234567",
    "",
)


@dataclass(kw_only=True, slots=True)
class Column:
    """A column, as far as values and statements need it."""

    name: str
    number: int
    type: str
    base_type: str
    modifier: int
    not_null: bool
    default: str | None
    identity: str
    generated: str
    labels: tuple[str, ...]
    choices: tuple[str, ...] = ()
    """Where a check allows not everything: what it allows."""

    @property
    def fills_itself(self) -> bool:
        """Tell whether an INSERT may leave it out."""
        return not self.not_null or self.default is not None or bool(self.identity) or bool(self.generated)


@dataclass(kw_only=True, slots=True)
class Table:
    """A table or view."""

    oid: int
    name: str
    """Quoted where needed, as SQL writes it."""
    spelled: str
    """As the linter spells it."""
    kind: str
    columns: dict[int, Column] = field(default_factory=dict)
    primary_key: tuple[int, ...] = ()
    unique: list[tuple[int, ...]] = field(default_factory=list)
    references: list[tuple[int, dict[int, int]]] = field(default_factory=list)
    """Foreign keys: the parent, and its column for each of ours."""
    checks: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    depth: int = 0
    rows: int = 0
    """How many it has, or is about to get."""
    present: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Of a table that the history itself filled: what is there in the columns that others refer to, in the order of its rows."""


class Values:
    """What fits the tables that are there."""

    def __init__(self, session: ScratchSession) -> None:
        """Read the tables and try out what their checks allow."""
        self.tables: dict[int, Table] = {}
        for row in session.rows(_COLUMNS):
            table = self.tables.setdefault(
                row["table_oid"],
                Table(oid=row["table_oid"], name=row["table_name"], spelled=row["spelled"], kind=row["kind"]),
            )
            table.columns[row["number"]] = Column(
                name=row["name"], number=row["number"], type=row["type"], base_type=row["base_type"], modifier=row["modifier"],
                not_null=row["not_null"], default=row["default"], identity=row["identity"], generated=row["generated"], labels=tuple(row["labels"] or ()),
            )  # fmt: skip
        self._read_constraints(session)
        partitions = {row["child"]: row["parent"] for row in session.rows(_PARTITIONS)}
        self.partitions = frozenset(child for child, parent in partitions.items() if parent in self.tables)
        self._sort()
        for table in self.tables.values():
            self._find_choices(session, table)

    def by_name(self, spelled: str) -> Table | None:
        """Return the table of that name."""
        return next((each for each in self.tables.values() if each.spelled == spelled), None)

    def in_order(self) -> list[Table]:
        """Return the tables that rows can be put into, parents first."""
        found = [each for each in self.tables.values() if each.kind in "rp" and each.oid not in self.partitions]
        return sorted(found, key=lambda table: (table.depth, table.name))

    def expression(  # noqa: PLR0913  what a value depends on
        self,
        table: Table,
        column: Column,
        row: str,
        *,
        wide: bool = False,
        width: int | None = None,
        path: frozenset[tuple[int, int]] = frozenset(),
    ) -> str:
        """Return the value of ``column`` in the row of number ``row`` (SQL).

        ``wide`` makes it as large as the type allows, ``width`` about so many bytes where the type leaves that open.
        """
        for parent, pairs in table.references:
            if column.number in pairs and parent in self.tables:
                here = (table.oid, column.number)
                if here in path or parent == table.oid:
                    return "NULL" if not column.not_null else self._own(column, row, wide=False)
                other = self.tables[parent]
                if other.present:
                    return _one_of(other.present[pairs[column.number]], row)
                if table.rows >= other.rows > 0:  # several rows refer to the same one
                    row = f"(1 + ({row} - 1) % {other.rows})"
                return self.expression(other, other.columns[pairs[column.number]], row, path=path | {here})
        return self._own(column, row, wide=wide, width=width)

    def _own(self, column: Column, row: str, *, wide: bool, width: int | None = None) -> str:
        if column.choices:
            return _one_of(column.choices, f"({row}) + 1")
        return typical(column, row, wide=wide, width=width)

    def _read_constraints(self, session: ScratchSession) -> None:
        for row in session.rows(_CONSTRAINTS):
            table = self.tables.get(row["table_oid"])
            if table is None:
                continue
            columns = tuple(row["columns"] or ())
            if row["kind"] == "f":
                table.references.append((row["parent"], dict(zip(columns, row["parent_columns"], strict=True))))
            elif row["kind"] == "c":
                table.checks.append((columns, row["expression"]))
            elif row["kind"] == "p":
                table.primary_key = columns
        for row in session.rows(_UNIQUE_INDEXES):
            columns = tuple(row["columns"])
            if row["table_oid"] in self.tables and all(columns):
                self.tables[row["table_oid"]].unique.append(columns)

    def _sort(self) -> None:
        """Give each table a depth greater than its parents'; a circle is cut where it closes."""

        def depth(table: Table, path: tuple[int, ...]) -> int:
            parents = [self.tables[oid] for oid, _ in table.references if oid in self.tables and oid not in path]
            return (
                max((1 + depth(each, (*path, each.oid)) for each in parents), default=0) if len(path) < _DEEPEST else 0
            )

        for table in self.tables.values():
            table.depth = depth(table, (table.oid,))

    def _find_choices(self, session: ScratchSession, table: Table) -> None:
        if table.kind not in "rp":
            return
        for column in table.columns.values():
            checks = [expression for columns, expression in table.checks if columns == (column.number,)]
            domain = column.type != column.base_type and not column.labels
            if not checks and not domain:
                continue
            condition = " AND ".join(f"coalesce(({each}), true)" for each in checks) or "true"

            def fits(expression: str, column: Column = column, condition: str = condition) -> bool:
                try:
                    return bool(
                        session.value(
                            f"SELECT {condition} FROM (SELECT ({expression})::{column.type} AS {quote_identifier(column.name)}) AS t"
                        )
                    )
                except asyncpg.PostgresError:
                    return False

            if all(fits(typical(column, number)) for number in ("1", "2", "501", "502")):
                continue
            literals: list[str] = []
            for match in _LITERAL.finditer(" ".join(checks)):
                if match[2] is not None:
                    literals += [match[2], str(float(match[2]) + 1), str(float(match[2]) - 1)]
                else:
                    literals.append(match[1].replace("''", "'"))
            tried = [f"{quote_literal(each)}::{column.type}" for each in dict.fromkeys((*literals, *_USUAL))]
            column.choices = tuple(each for each in tried if fits(each))


def _one_of(expressions: Sequence[str], row: str) -> str:
    if len(expressions) == 1:
        return expressions[0]
    return f"(ARRAY[{', '.join(expressions)}])[1 + ({row} - 1) % {len(expressions)}]"


def typical(  # noqa: C901, PLR0911, PLR0912  one branch a type
    column: Column, row: str, *, wide: bool = False, width: int | None = None
) -> str:
    """Return an expression of the column's type for row number ``row``; see `Values.expression`."""
    type_, number = column.base_type, f"({row})"
    if column.labels:
        listed = ", ".join(quote_literal(each) for each in column.labels)
        return f"(ARRAY[{listed}]::{column.type}[])[1 + {number} % {len(column.labels)}]"
    if type_.endswith("[]"):
        return f"'{{}}'::{type_}"
    name = re.sub(r"\(.*\)", "", type_).strip().strip('"')
    size = re.search(r"\((\d+)(?:,(-?\d+))?\)", type_)
    match name:
        case "smallint":
            return "32000::smallint" if wide else f"({number} % 30000)::smallint"
        case "integer" | "bigint" | "oid":
            return (
                {"integer": "2000000000", "bigint": "9000000000000000000"}.get(name, "1") + f"::{name}"
                if wide
                else f"{number}::{name}"
            )
        case "numeric":
            digits = int(size[1]) - int(size[2] or 0) if size else 9
            whole = "9" * min(digits, 30) if wide else f"({number} % {10 ** max(min(digits, 9), 0)})"
            scale = int(size[2] or 0) if size else 1  # with a fraction, which a narrower type would not keep
            fraction = f" + 5e-{scale}" if scale > 0 and not wide else ""
            return f"({whole or '0'}{fraction})::{type_}"
        case "real" | "double precision" | "money":
            return f"{number}::float8::{name}" if name != "money" else f"{number}::numeric::money"
        case "boolean":
            return f"({number} % 2 = 0)"
        case "uuid":
            return f"('00000000-0000-4000-8000-' || lpad({number}::text, 12, '0'))::uuid"
        case "date":
            return f"('2024-01-01'::date + ({number} % 3000)::int)"
        case "timestamp without time zone" | "timestamp with time zone" | "timestamp":
            return f"('2024-01-01 12:00:00+00'::timestamptz + {number} * interval '1 second')::{name}"
        case "time without time zone" | "time with time zone":
            return f"'12:00:00'::{name}"
        case "interval":
            return f"({number} * interval '1 second')"
        case "json" | "jsonb":
            if width is not None and width > _EMPTY_OBJECT:
                return f"{name}_build_object('value', rpad({number}::text, {min(width, _WIDEST) - _EMPTY_OBJECT}, '0'))"
            return f"'{{}}'::{name}"
        case "bytea":
            text = f"{number}::text" if width is None else f"rpad({number}::text, {min(width, _WIDEST)}, '0')"
            return f"convert_to({text}, 'UTF8')"
        case "inet" | "cidr":
            return f"('10.0.0.0'::inet + {number})::{name}"
        case "character varying" | "character" | "text" | "citext" | "name" | "bpchar":
            length = int(size[1]) if size else 63 if name == "name" else 0
            if width is not None and name not in ("character", "bpchar"):
                length = max(1, min(width - 1, length or _WIDEST))  # a short text's length is a byte of its width
            return _text(name, number, length or (10 * _FREE_TEXT if wide else 0))
        case "macaddr":
            return "'08:00:2b:01:02:03'::macaddr"
        case "tsvector" | "xml" | "ltree" | "hstore" | "bit varying":
            return f"''::{name}"
    return "NULL" if not column.not_null else f"''::{type_}"


def _text(type_: str, number: str, length: int) -> str:
    if type_ == "citext":
        return f"('Value ' || {number})::citext"
    if length and length <= 8:  # noqa: PLR2004  no room for a word
        return f"lpad({number}::text, {length}, '0')" if length > 1 else f"chr(65 + ({number} % 26)::int)"
    if length:  # as long as may be: a narrower type then shows
        return f"rpad('Value ' || {number} || ' ', {min(length, _WIDEST)}, 'x')"
    return f"rpad('Value ' || {number} || ' ', {_FREE_TEXT}, 'x')"
