"""The documented way that does without long work what a statement does at once, told with the user's own names."""

import re
from collections.abc import Callable

from sage_migrate.statement_text import NAME, strip_comments

NOT_NULL = "docs/recipes.md#make-a-column-not-null"
RENAME = "docs/recipes.md#rename-a-column"
WIDEN = "docs/recipes.md#widen-an-integer-key"
BACKFILL = "docs/backfills.md"
ONLINE = "docs/online.md"

_PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_TABLE = rf"(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>{NAME})"
_COLUMN = rf"ALTER\s+(?:COLUMN\s+)?(?P<column>{_PART})"


def _not_null(found: re.Match[str]) -> str:
    table, column = found["table"], found["column"]
    return (
        f"Let a check of {table}.{column} be validated first, which SET NOT NULL then trusts: ALTER TABLE {table} ADD CONSTRAINT … CHECK "
        f"({column} IS NOT NULL) NOT VALID, and VALIDATE in the next revision ({NOT_NULL})."
    )


def _type_change(found: re.Match[str]) -> str:
    table, column = found["table"], found["column"]
    return (
        f"Add a column of the new type beside {table}.{column}, kept in step by a trigger, fill it by a declared backfill, and let the two "
        f"change places in a later release ({WIDEN})."
    )


def _update(found: re.Match[str]) -> str:
    declared = f'{{"table": "{found["table"]}", "set": "{found["column"]} = …", "where": "{found["column"]} IS NULL"}}'
    return f'Declare it instead, and the gate does it in short batches: sage_migrate = {{"backfill": {declared}}} ({BACKFILL}).'


def _rows(found: re.Match[str]) -> str:
    return f"Go through {found['table']} in batches by its key, each committed by itself ({BACKFILL})."


def _index(found: re.Match[str]) -> str:
    return (
        f"Build the index of {found['table']} CONCURRENTLY, in an autocommit_block of a revision of its own; where the release's code does "
        f'without it, sage_migrate = {{"online": True}} lets a release leave it ({ONLINE}).'
    )


def _constraint(found: re.Match[str]) -> str:
    validate = f"ALTER TABLE {found['table']} VALIDATE CONSTRAINT {found['name']}"
    return f"Add the constraint NOT VALID, and let the next revision check the rows: {validate} ({NOT_NULL})."


def _validate(found: re.Match[str]) -> str:
    return (
        f"It reads {found['table']} and blocks nobody: give it a revision of its own, and where the release's code does without it, "
        f'sage_migrate = {{"online": True}} lets a release leave it ({ONLINE}).'
    )


_CREATE_INDEX = (
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:(?!ON\s){NAME}\s+)?ON\s+(?:ONLY\s+)?"
    rf"(?P<table>{NAME})"
)
_RECIPES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"ALTER\s+TABLE\s+{_TABLE}\s+{_COLUMN}\s+SET\s+NOT\s+NULL\b", _not_null),
    (rf"ALTER\s+TABLE\s+{_TABLE}\s+{_COLUMN}\s+(?:SET\s+DATA\s+)?TYPE\b", _type_change),
    (
        rf"ALTER\s+TABLE\s+{_TABLE}\s+ADD\s+CONSTRAINT\s+(?P<name>{_PART})\s+(?:CHECK|FOREIGN\s+KEY)\b(?!.*\bNOT\s+VALID\b)",
        _constraint,
    ),
    (rf"ALTER\s+TABLE\s+{_TABLE}\s+VALIDATE\s+CONSTRAINT\b", _validate),
    (_CREATE_INDEX, _index),
    (rf"UPDATE\s+{_TABLE}\s+(?:(?:AS\s+)?(?!SET\b){_PART}\s+)?SET\s+(?P<column>{_PART})\s*=", _update),
    (rf"DELETE\s+FROM\s+{_TABLE}", _rows),
    (rf"INSERT\s+INTO\s+(?P<into>{NAME}).*\bSELECT\b.*\bFROM\s+(?P<table>{NAME})", _rows),
)


def advise(statement: str) -> str | None:
    """Return what to do in place of ``statement``; None where no recipe fits."""
    bare = strip_comments(statement)
    for pattern, tell in _RECIPES:
        if found := re.match(pattern, bare, re.IGNORECASE | re.DOTALL):
            return tell(found)
    return None
