"""Spells names and code in messages as the user would write them."""

import json
from collections.abc import Iterable

from sage_migrate.lint import statements as ir
from sage_migrate.recipes import ONLINE

CONTRACT = 'sage_migrate = {"phase": "contract", "reason": "…"}'
"""What a revision declares that is applied when no old code serves any more."""
MAY_BE_LEFT = f'# of a large table: sage_migrate = {{"online": True}} in a revision of its own, which a release may leave ({ONLINE})'
"""What a revision may declare whose work takes long, and blocks nobody."""


def quoted(text: str) -> str:
    """Return ``text`` as a string of Python's, on one line."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def listed(names: Iterable[str]) -> str:
    """Return names as a list of Python's."""
    return f"[{', '.join(quoted(name or '…') for name in names)}]"


def table_arguments(table: str, *, with_schema: bool = True) -> str:
    """Return a table as an argument of ``op.*``."""
    schema, _, bare = table.rpartition(".")
    return f"{quoted(bare)}, schema={quoted(schema)}" if schema and with_schema else quoted(bare)


def new_columns(action: ir.Action) -> Iterable[ir.Column]:
    """Return the columns that an action makes."""
    if isinstance(action, ir.CreateTable):
        return action.columns
    return (action.column,) if isinstance(action, ir.AddColumn) else ()
