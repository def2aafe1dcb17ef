"""A statement of old code, and the tables that it names."""

from dataclasses import dataclass
from typing import Any

from pglast import ast, parse_sql
from pglast.parser import ParseError

from sage_migrate.lint.sql import qualified, walk

_DATA: Any = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


@dataclass(frozen=True, kw_only=True, slots=True)
class OldStatement:
    """A statement with ``$1`` … for its parameters, and expressions of SQL that stand for them."""

    sql: str
    source: str
    relations: tuple[str, ...]
    arguments: tuple[str, ...] | None = None
    """None where they are to be found by the parameters' types."""
    kept: tuple[str, ...] = ()
    """Columns that it writes and returns: what comes back is what was written."""
    only: tuple[str, ...] = ()
    """SQLSTATEs that count, where others only say that the arguments are unusual."""


def read_statement(text: str) -> tuple[str, ...] | None:
    """Return the tables that one statement names, None where it is none that reads or writes rows."""
    try:
        (raw,) = parse_sql(text)
    except (ParseError, ValueError):
        return None
    if not isinstance(raw.stmt, _DATA):
        return None
    named = {cte.ctename for cte in walk(raw.stmt) if isinstance(cte, ast.CommonTableExpr)}
    found = [qualified(node) for node in walk(raw.stmt) if isinstance(node, ast.RangeVar) and node.relname not in named]
    return tuple(dict.fromkeys(found))
