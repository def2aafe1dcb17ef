"""The documented way that does without long work what a statement does at once, told with the user's own names."""

import json
import re
from collections.abc import Callable, Sequence

from sage_migrate.statement_text import NAME, strip_comments

NOT_NULL = "docs/recipes.md#make-a-column-not-null"
RENAME = "docs/recipes.md#rename-a-column"
WIDEN = "docs/recipes.md#widen-an-integer-key"
BACKFILL = "docs/backfills.md"
ROWS = "docs/backfills.md#rows-to-delete-or-to-copy"
ONLINE = "docs/online.md"

_PART = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_TABLE = rf"(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>{NAME})"
# The action need not be the statement's first.
_ALTER = rf"ALTER\s+TABLE\s+{_TABLE}\s+(?:.*,\s*)?"
_COLUMN = rf"ALTER\s+(?:COLUMN\s+)?(?P<column>{_PART})"
_APART = (
    "CONCURRENTLY, in an autocommit_block of a revision of its own; where the release's code does without it, "
    f'sage_migrate = {{"online": True}} lets a release leave it ({ONLINE}).'
)


def declare_backfill(table: str, columns: Sequence[str]) -> str:
    """Return the declaration of a backfill that sets ``columns`` where the first of them is NULL."""
    sets = ", ".join(f"{column} = …" for column in columns)
    declared = {"backfill": {"table": table, "set": sets, "where": f"{columns[0]} IS NULL"}}
    return f"sage_migrate = {json.dumps(declared, ensure_ascii=False)}"


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


def _added_column(found: re.Match[str]) -> str:
    table, column = found["table"], found["column"]
    return (
        f"Add {table}.{column} without a value; let a default that is set afterwards, or a trigger, give new rows theirs, and the gate "
        f"fill the others in short batches, declared in the next revision: {declare_backfill(table, [column])} ({BACKFILL})."
    )


def _update(found: re.Match[str]) -> str:
    declared = declare_backfill(found["table"], [found["column"]])
    return f"Declare it instead, and the gate does it in short batches: {declared} ({BACKFILL})."


def _rows(found: re.Match[str]) -> str:
    return f"Go through {found['table']} in batches by its key, each committed by itself ({ROWS})."


def _index(found: re.Match[str]) -> str:
    return f"Build the index of {found['table']} {_APART}"


def _reindex(found: re.Match[str]) -> str:
    return f"Rebuild {found['name']} {_APART}"


def _unique(found: re.Match[str]) -> str:
    kind = " ".join(found["kind"].upper().split())
    return (
        f"Build a unique index of {found['table']} {_APART} Then let the constraint take it "
        f"(ALTER TABLE {found['table']} ADD CONSTRAINT {found['name'] or '…'} {kind} USING INDEX …)."
    )


def _constraint(found: re.Match[str]) -> str:
    validate = f"ALTER TABLE {found['table']} VALIDATE CONSTRAINT {found['name'] or '…'}"
    return f"Add the constraint NOT VALID, and let the next revision check the rows: {validate} ({NOT_NULL})."


def _validate(found: re.Match[str]) -> str:
    return (
        f"It reads {found['table']} and blocks nobody: give it a revision of its own, and where the release's code does without it, "
        f'sage_migrate = {{"online": True}} lets a release leave it ({ONLINE}).'
    )


def _refresh(found: re.Match[str]) -> str:
    return (
        f"REFRESH MATERIALIZED VIEW CONCURRENTLY {found['table']} lets its readers go on; it needs a unique index of it. Where the "
        f'release\'s code does without it, sage_migrate = {{"online": True}} lets a release leave it ({ONLINE}).'
    )


def _attach(found: re.Match[str]) -> str:
    part = found["part"]
    return (
        f"Let a check prove the bounds of {part} first, which ATTACH then trusts: ALTER TABLE {part} ADD CONSTRAINT … CHECK (…) NOT VALID, "
        "and VALIDATE in the next revision. Where there is a default partition, a check of it has to exclude the same rows."
    )


def _copy(found: re.Match[str]) -> str:
    return (
        f"pg_repack --table {found['table']} writes it anew beside those who use it; a plain VACUUM makes room in it for new rows, and "
        "blocks nobody."
    )


_NAMED = rf"ADD\s+(?:CONSTRAINT\s+(?P<name>{_PART})\s+)?"
_CREATE_INDEX = (
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?:(?!ON\s){NAME}\s+)?ON\s+(?:ONLY\s+)?"
    rf"(?P<table>{NAME})"
)
# A column with a value for each row; one whose default is a constant is added at once, and refused for nothing.
_ADD_COLUMN = (
    rf"ADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?!(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b)(?P<column>{_PART})\s"
    r".*\b(?:DEFAULT|GENERATED|(?:small|big)?serial[248]?)\b"
)
_OPTION = r"(?:FREEZE|VERBOSE|ANALY[ZS]E|ONLY)\b"
_OPTIONS = rf"(?:{_OPTION}\s*)*(?!{_OPTION})"
_WHOLE_TABLE = rf"(?P<table>{NAME})(?![\w$.\"])"
# A recipe goes by how a statement begins, and is asked for while others wait.
_READ = 10_000
_RECIPES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"{_ALTER}{_COLUMN}\s+SET\s+NOT\s+NULL\b", _not_null),
    (rf"{_ALTER}{_COLUMN}\s+(?:SET\s+DATA\s+)?TYPE\b", _type_change),
    (rf"{_ALTER}{_NAMED}(?:CHECK|FOREIGN\s+KEY)\b(?!.*\bNOT\s+VALID\b)", _constraint),
    (rf"{_ALTER}{_NAMED}(?P<kind>UNIQUE|PRIMARY\s+KEY)\b(?!\s+USING\b)", _unique),
    (rf"{_ALTER}VALIDATE\s+CONSTRAINT\b", _validate),
    (rf"{_ALTER}{_ADD_COLUMN}", _added_column),
    (_CREATE_INDEX, _index),
    (rf"REINDEX\s*(?:\([^)]*\)\s*)?(?:INDEX|TABLE)\s+(?:CONCURRENTLY\s+)?(?P<name>{NAME})", _reindex),
    (rf"REFRESH\s+MATERIALIZED\s+VIEW\s+(?!CONCURRENTLY\b){_WHOLE_TABLE}(?!\s+WITH\s+NO\b)", _refresh),
    (rf"{_ALTER}ATTACH\s+PARTITION\s+(?P<part>{NAME})", _attach),
    (rf"VACUUM\s*(?:\([^)]*\bFULL\b(?!\s+(?:false|off|0)\b)[^)]*\)|FULL\b)\s*{_OPTIONS}(?P<table>{NAME})", _copy),
    (rf"CLUSTER\b\s*(?:\([^)]*\)\s*)?{_OPTIONS}{_WHOLE_TABLE}(?!\s+ON\b)", _copy),
    (rf"UPDATE\s+{_TABLE}\s+(?:(?:AS\s+)?(?!SET\b){_PART}\s+)?SET\s+(?P<column>{_PART})\s*=", _update),
    (rf"DELETE\s+FROM\s+{_TABLE}", _rows),
    (rf"INSERT\s+INTO\s+(?P<into>{NAME}).*\bSELECT\b.*\bFROM\s+(?P<table>{NAME})", _rows),
)


def advise(statement: str) -> str | None:
    """Return what to do in place of ``statement``; None where no recipe fits."""
    bare = strip_comments(statement)[:_READ]
    for pattern, tell in _RECIPES:
        if found := re.match(pattern, bare, re.IGNORECASE | re.DOTALL):
            return tell(found)
    return None
