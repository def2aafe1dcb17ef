"""The statements that mapped classes need, for tables as a schema or a model describes them."""
# ruff: noqa: S608  every name is quoted

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sage_migrate.session import quote_identifier, quote_literal
from sage_migrate.trace.old_code.statements import OldStatement
from sage_migrate.trace.values import Column, Table, Values

_TOO_LARGE = ("22001", "22003", "22P02", "42804")


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedColumn:
    """A column that old code knows."""

    name: str
    type: str
    """As the driver casts its values."""
    is_key: bool = False
    left_out: bool = False
    """Old code's INSERT leaves it to the database."""
    explicit_null: bool = False
    """Left unset, it is sent as NULL: so does an ORM where it knows of no default."""
    relies_on_default: bool = False
    """Old code knows of a default in the database and counts on it."""
    constant: str | None = None
    """Old code's own default, where it is a plain value."""
    labels: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedTable:
    """A table that old code knows, with what its statements rest on."""

    name: str
    """As the linter spells it."""
    quoted: str
    columns: tuple[MappedColumn, ...]
    source: str
    unique: tuple[tuple[str, ...], ...] = ()
    """Columns that ON CONFLICT may name."""
    references: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = ()
    """What it is joined with: the name as the linter spells it, as SQL writes it, and pairs of columns."""
    is_view: bool = False
    followers: tuple[str, ...] = ()
    """Tables that refer to it, where old code counts on the database for their rows when it deletes one of these."""


def tables_of_schema(values: Values, version_table: str) -> list[MappedTable]:
    """Return every table and view of the schema: old code is taken to use all of it."""
    return [_mapped(each, values) for each in values.tables.values() if each.spelled != version_table]


def _mapped(table: Table, values: Values) -> MappedTable:
    by_number = table.columns
    return MappedTable(
        name=table.spelled,
        quoted=table.name,
        source=f"the schema's {table.spelled}",
        is_view=table.kind in "vm",
        followers=tuple(
            each.spelled
            for each in values.tables.values()
            if each is not table and any(parent == table.oid for parent, _ in each.references)
        ),
        columns=tuple(
            MappedColumn(
                name=each.name,
                type=each.type,
                is_key=each.number in table.primary_key,
                left_out=each.fills_itself
                and (each.default is not None or bool(each.identity) or bool(each.generated)),
                labels=each.labels,
            )
            for each in by_number.values()
        ),
        unique=tuple(dict.fromkeys(tuple(by_number[each].name for each in key) for key in table.unique)),
        references=tuple(
            (
                values.tables[parent].spelled,
                values.tables[parent].name,
                tuple((by_number[a].name, values.tables[parent].columns[b].name) for a, b in pairs.items()),
            )
            for parent, pairs in table.references
            if parent in values.tables
        ),
    )


def statements_of(tables: Sequence[MappedTable], values: Values) -> Iterator[OldStatement]:
    """Yield what each table needs: load, insert, update, delete, filters, upserts, relationships."""
    for table in tables:
        known = values.by_name(table.name)
        yield from _statements(table, known, values)


def _statements(  # noqa: C901  one branch a kind of statement
    table: MappedTable, known: Table | None, values: Values
) -> Iterator[OldStatement]:
    keys = [each for each in table.columns if each.is_key]
    every = ", ".join(quote_identifier(each.name) for each in table.columns)
    column_of = {each.name: each for each in known.columns.values()} if known else {}
    next_row = str(1 + known.rows) if known else "1"

    def value(column: MappedColumn, row: str, *, wide: bool = False, constant: bool = False) -> str:
        found = column_of.get(column.name)
        if known is None or found is None:
            return "NULL"
        if column.constant is not None and constant:
            return f"{quote_literal(column.constant)}::{found.type}"
        return values.expression(known, found, row, wide=wide)

    def statement(  # noqa: PLR0913  what a statement consists of
        sql: str,
        used: Sequence[MappedColumn],
        row: str,
        *,
        wide: bool = False,
        constant: bool = False,
        only: tuple[str, ...] = (),
        kept: bool = False,
        beside: tuple[str, ...] = (),
    ) -> OldStatement:
        sources = [each.source for each in used if each.source]
        return OldStatement(
            sql=sql,
            source=sources[0] if len(used) == 1 and sources else table.source,
            relations=(table.name, *beside),
            arguments=tuple(value(each, row, wide=wide, constant=constant) for each in used),
            only=only,
            kept=tuple(each.name for each in used) if kept else (),
        )

    def two_rows(sql: str, used: Sequence[MappedColumn]) -> OldStatement:
        first = statement(sql, used, next_row, constant=True)
        rest = tuple(value(each, f"{next_row} + 1", constant=True) for each in used)
        return replace(first, arguments=(*(first.arguments or ()), *rest))

    def parameters(used: Sequence[MappedColumn], first: int = 1) -> list[str]:
        return [f"${place}::{each.type}" for place, each in enumerate(used, first)]

    def found_by(columns: Sequence[MappedColumn], first: int = 1) -> str:
        pairs = zip(columns, parameters(columns, first), strict=True)
        return " AND ".join(f"{quote_identifier(each.name)} = {given}" for each, given in pairs)

    if not keys:
        yield statement(f"SELECT {every} FROM {table.quoted} LIMIT 1", (), "1")
    else:
        yield statement(f"SELECT {every} FROM {table.quoted} WHERE {found_by(keys)}", keys, "1")
    for each in table.columns:
        yield statement(f"SELECT 1 FROM {table.quoted} WHERE {found_by([each])}", [each], "1")
    if table.is_view:
        return
    settable = [each for each in table.columns if known is None or _is_settable(column_of.get(each.name))]
    required = [each for each in settable if not each.left_out and _is_required(column_of.get(each.name))]
    nulls = [each for each in settable if each.explicit_null and each not in required]
    whole = [each for each in settable if each in required or not each.left_out]
    for given, unset in ((required, nulls), (whole, [])):
        names = ", ".join(quote_identifier(each.name) for each in (*given, *unset))
        marks = ", ".join((*parameters(given), *("NULL" for _ in unset)))
        into = (
            f"INSERT INTO {table.quoted} ({names}) VALUES ({marks})"
            if names
            else f"INSERT INTO {table.quoted} DEFAULT VALUES"
        )
        yield statement(f"{into} RETURNING {every}", given, next_row, constant=given is required, kept=True)
        yield statement(into, given, next_row, wide=True, only=_TOO_LARGE)
    # Two at once, so that it shows where their defaults must differ.
    marks = ", ".join((*parameters(required), *("NULL" for _ in nulls)))
    second = ", ".join((*parameters(required, 1 + len(required)), *("NULL" for _ in nulls)))
    names = ", ".join(quote_identifier(each.name) for each in (*required, *nulls))
    if required:
        yield two_rows(f"INSERT INTO {table.quoted} ({names}) VALUES ({marks}), ({second})", required)
    names = ", ".join(quote_identifier(each.name) for each in whole)
    for target in table.unique:
        on = ", ".join(quote_identifier(each) for each in target)
        yield statement(
            f"INSERT INTO {table.quoted} ({names}) VALUES ({', '.join(parameters(whole))}) ON CONFLICT ({on}) DO NOTHING",
            whole,
            next_row,
        )
    if keys:
        yield from _changes(table, keys, settable, known, statement)
    for other, quoted, pairs in table.references:
        condition = " AND ".join(f"a.{quote_identifier(ours)} = b.{quote_identifier(theirs)}" for ours, theirs in pairs)
        yield statement(
            f"SELECT 1 FROM {table.quoted} AS a JOIN {quoted} AS b ON {condition} LIMIT 1", (), "1", beside=(other,)
        )


def _changes(
    table: MappedTable,
    keys: list[MappedColumn],
    settable: list[MappedColumn],
    known: Table | None,
    statement: Callable[..., OldStatement],
) -> Iterator[OldStatement]:
    where = " AND ".join(f"{quote_identifier(each.name)} = ${place}::{each.type}" for place, each in enumerate(keys, 1))
    others = [each for each in settable if not each.is_key]
    if others:
        pairs = ", ".join(
            f"{quote_identifier(each.name)} = ${place}::{each.type}" for place, each in enumerate(others, 1 + len(keys))
        )
        yield statement(f"UPDATE {table.quoted} SET {pairs} WHERE {where}", [*keys, *others], "1")
    for each in others:
        for label in each.labels:
            change = f"UPDATE {table.quoted} SET {quote_identifier(each.name)} = {quote_literal(label)}::{each.type} WHERE {where}"
            yield statement(change, keys, "1")
    last = str(known.rows) if known else "1"
    yield statement(f"DELETE FROM {table.quoted} WHERE {where}", keys, last)
    if table.followers:  # the first row is one that others refer to
        yield statement(f"DELETE FROM {table.quoted} AS whole WHERE {where}", keys, "1", beside=table.followers)


def _is_settable(column: Column | None) -> bool:
    return column is not None and not column.generated and column.identity != "a"


def _is_required(column: Column | None) -> bool:
    return column is not None and not column.fills_itself
