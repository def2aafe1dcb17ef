"""Fill empty tables with rows that fit them: made up from the schema, and like production's where its statistics are given."""
# ruff: noqa: S608  SQL of our own

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from sage_migrate.session import quote_identifier, quote_literal
from sage_migrate.stats.sizes import Sizes, TableSize
from sage_migrate.trace.scratch_database import ScratchSession
from sage_migrate.trace.values import Column, Table, Values

# A shorter type must show, so a row of so many is as wide as the type allows, whatever the average is.
_ONE_IS_WIDE = 97
_FEWEST = 5
_MOST_PRESENT = 20
_Shape = Callable[[Column], str]


def fill(session: ScratchSession, values: Values, rows: int, sizes: Sizes | None = None) -> list[str]:
    """Put rows into every empty table, ``rows`` at most, and return notes on those where none fit."""
    notes = []
    for table in values.in_order():
        if not rows or session.value(f"SELECT EXISTS (SELECT FROM {table.name})"):
            _take_present(session, values, table)
            continue
        columns = [each for each in table.columns.values() if not each.generated]
        required = [each for each in columns if each.not_null]
        as_made_up, most = _made_up(values, table), _most(values, table)
        plain = min(max(rows - 10 * table.depth, min(rows, _FEWEST)), most)
        tries = [(plain, columns, as_made_up), (plain, required, as_made_up)]
        size = _size_of(table, sizes)
        if size is not None:
            number = min(rows if size.rows is None else max(min(rows, size.rows), min(rows, _FEWEST)), most)
            tries.insert(0, (number, columns, _like_production(values, table, size, number)))
        problem = ""
        for table.rows, chosen, shape in tries:
            problem = _insert(session, table, chosen, shape)
            if not problem:
                break
        else:
            table.rows = 0
            notes.append(f"{table.spelled} has no rows, so that what is done to them cannot be seen: {problem}.")
    session.run("ANALYZE")
    return notes


def _size_of(table: Table, sizes: Sizes | None) -> TableSize | None:
    if sizes is None:
        return None
    return sizes.find(table.spelled if "." in table.spelled else f"public.{table.spelled}") or sizes.find(table.spelled)


def _most(values: Values, table: Table) -> int:
    """Return how many rows the keys allow whose columns all refer to other tables.

    Row n refers to row n of each, over and over, so that no two are the same before all of them begin anew; and one
    is left for old code to insert.
    """
    period: dict[int, int] = {}
    for parent, pairs in table.references:
        other = values.tables.get(parent)
        if other is not None and other is not table:
            period |= {ours: len(other.present.get(theirs, ())) or other.rows for ours, theirs in pairs.items()}
    keys = [key for key in (table.primary_key, *table.unique) if key and all(period.get(number) for number in key)]
    return min((max(math.lcm(*(period[number] for number in key)) - 1, 1) for key in keys), default=sys.maxsize)


def _fixed(table: Table) -> set[int]:
    """Return the columns whose values decide whether the row fits other rows."""
    keys = {each for key in (table.primary_key, *table.unique) for each in key}
    return keys | {each for _, pairs in table.references for each in pairs}


def _made_up(values: Values, table: Table) -> _Shape:
    fixed = _fixed(table)

    def shape(column: Column) -> str:
        expression = values.expression(table, column, "n")
        if column.not_null or column.number in fixed or column.choices:
            return expression
        return f"CASE WHEN n % 5 > 0 THEN {expression} END"

    return shape


def _like_production(values: Values, table: Table, size: TableSize, number: int) -> _Shape:
    fixed, as_made_up = _fixed(table), _made_up(values, table)

    def shape(column: Column) -> str:
        known = size.columns.get(column.name)
        if known is None:
            return as_made_up(column)
        expression = usual = values.expression(table, column, "n")
        if column.number not in fixed and not column.choices:
            distinct = known.distinct_among(number)
            row = "n" if distinct == number else f"(1 + (n - 1) % {distinct})"
            usual = values.expression(table, column, row, width=known.avg_width)
        # Where production has any, so has this.
        nulls = 0 if column.not_null else math.ceil(round(known.null_frac * number, 6))
        whens = [f"WHEN n > {number - nulls} THEN NULL"] if nulls else []
        if usual != expression:
            whens.append(f"WHEN n % {_ONE_IS_WIDE} = 1 THEN {expression}")
        return f"CASE {' '.join(whens)} ELSE {usual} END" if whens else expression

    return shape


def _insert(session: ScratchSession, table: Table, columns: Sequence[Column], shape: _Shape) -> str:
    """Insert the table's rows; return why they do not fit."""
    names = ", ".join(quote_identifier(each.name) for each in columns)
    listed = ", ".join(shape(each) for each in columns)
    overriding = "OVERRIDING SYSTEM VALUE " if any(each.identity for each in columns) else ""
    statement = (
        f"INSERT INTO {table.name} ({names}) {overriding}SELECT {listed} FROM generate_series(1, {table.rows}) AS n"
        if columns
        else f"INSERT INTO {table.name} SELECT FROM generate_series(1, {table.rows})"
    )
    try:
        session.run(statement)
        for column in columns:
            _advance(session, table, column)
    except asyncpg.PostgresError as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""


def _advance(session: ScratchSession, table: Table, column: Column) -> None:
    """Let the column's sequence go on after the rows."""
    if column.identity or "nextval(" in (column.default or ""):
        sequence: Any = session.value("SELECT pg_get_serial_sequence($1, $2)", table.name, column.name)
        if sequence:
            session.rows(
                f"SELECT setval($1::text::regclass, (SELECT max({quote_identifier(column.name)}) FROM {table.name}))",
                sequence,
            )


def _take_present(session: ScratchSession, values: Values, table: Table) -> None:
    """Count what is there; where it is the history's own, read the keys that rows of other tables must refer to."""
    table.rows = int(session.value(f"SELECT count(*) FROM {table.name}"))
    referred = {
        theirs
        for each in values.tables.values()
        for parent, pairs in each.references
        if parent == table.oid
        for theirs in pairs.values()
    }
    if not referred or not table.rows or _is_made_up(session, values, table):
        return
    columns = [table.columns[number] for number in sorted(referred)]
    listed = ", ".join(f"{quote_identifier(each.name)}::text" for each in columns)
    found = session.rows(f"SELECT {listed} FROM {table.name} ORDER BY 1 LIMIT {_MOST_PRESENT}")
    for place, column in enumerate(columns):
        table.present[column.number] = tuple(
            "NULL" if row[place] is None else f"{quote_literal(row[place])}::{column.type}" for row in found
        )


def _is_made_up(session: ScratchSession, values: Values, table: Table) -> bool:
    """Tell whether the rows have the keys that this module gives: those of an earlier trace, or numbers from 1 on."""
    if not table.primary_key:
        return True
    columns = [table.columns[number] for number in table.primary_key]

    def is_there(row: int) -> str:
        pairs = (f"{quote_identifier(each.name)} = {values.expression(table, each, str(row))}" for each in columns)
        return f"EXISTS (SELECT FROM {table.name} WHERE {' AND '.join(pairs)})"

    try:
        return bool(session.value(f"SELECT {is_there(1)} AND {is_there(table.rows)}"))
    except asyncpg.PostgresError:
        return False
