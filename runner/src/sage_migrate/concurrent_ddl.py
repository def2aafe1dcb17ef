"""Statements that block nobody: they get timeouts of their own, and what a broken one left behind is put right.

CREATE INDEX CONCURRENTLY and its kind wait for others by design and let everybody through meanwhile, so the short
``lock_timeout`` would only break them off. A build that was broken off leaves an INVALID index, which costs every
write and which ``IF NOT EXISTS`` then keeps for ever.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sage_migrate.errors import DeadlineExceededError, MigrationFailedError
from sage_migrate.logs import log
from sage_migrate.recipes import ONLINE
from sage_migrate.session import Session, quote_literal, set_owner_sql
from sage_migrate.statement_text import NAME, TOKEN, strip_comments

Fetch = Callable[[str], Sequence[tuple[Any, ...]]]
"""Run SQL on the migration's own connection, below SQLAlchemy, and return its rows."""

_CREATE_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<index>{NAME})\s+ON\s+(?:ONLY\s+)?(?P<table>{NAME})",
    re.IGNORECASE,
)
_CONCURRENTLY_OPTION = r"\((?=[^)]*\bCONCURRENTLY\b(?!\s+(?:false|off|0)\b))[^)]*\)"
_REINDEX = re.compile(
    rf"REINDEX\s*(?:(?P<option>{_CONCURRENTLY_OPTION})|\([^)]*\))?\s*(?P<kind>INDEX|TABLE|SCHEMA|DATABASE|SYSTEM)\s+"
    rf"(?(option)|CONCURRENTLY\b\s*)(?P<name>{NAME})?",
    re.IGNORECASE,
)
_DETACH = re.compile(
    rf"(?P<head>ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?P<table>{NAME})\s+DETACH\s+PARTITION\s+(?P<partition>{NAME})\s+)CONCURRENTLY\b",
    re.IGNORECASE,
)
_VALIDATE = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>{NAME})\s+VALIDATE\s+CONSTRAINT\s+(?:\"(?:[^\"]|\"\")+\"|[\w$]+)\Z",
    re.IGNORECASE,
)
_HARMLESS = (
    re.compile(r"(?:CREATE\s+(?:UNIQUE\s+)?|DROP\s+)INDEX\s+CONCURRENTLY\b", re.IGNORECASE),
    _REINDEX,
    _VALIDATE,
    _DETACH,
    re.compile(r"REFRESH\s+MATERIALIZED\s+VIEW\s+CONCURRENTLY\b", re.IGNORECASE),
    re.compile(r"VACUUM\b(?!\s*(?:\([^)]*\bFULL\b(?!\s+(?:false|off|0)\b)[^)]*\)|FULL\b))", re.IGNORECASE),
    re.compile(r"ANALY[ZS]E\b", re.IGNORECASE),
)
# A word that every one of them has. Most statements have none, and a thousand revisions are not read for more.
_HARMLESS_WORD = re.compile(r"CONCURRENTLY|VALIDATE|VACUUM|ANALY[ZS]E", re.IGNORECASE)
# Who builds an index holds this lock on its table all along; so does an autovacuum, which builds nothing.
_NOT_BEING_BUILT = (
    "NOT EXISTS (SELECT FROM pg_locks AS held WHERE held.granted AND held.mode = 'ShareUpdateExclusiveLock'"
    " AND held.pid <> pg_backend_pid() AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND held.relation IN (index.indexrelid, index.indrelid)"
    " AND held.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE usesysid IS NULL))"
)
INVALID_INDEXES_SQL = (
    "SELECT index.indexrelid::regclass::text AS index, index.indrelid::regclass::text AS relation"  # noqa: S608  a constant
    " FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"
    f" WHERE class.relkind = 'i' AND NOT index.indisvalid AND {_NOT_BEING_BUILT} ORDER BY 1"
)
"""The INVALID indexes that nobody builds, each with its table."""
# The gate's note on an index whose build it broke off: seconds that a whole build would have taken.
_NOTE = "sage-migrate: build broken off, estimated seconds "


@dataclass(frozen=True, kw_only=True)
class BrokenIndex:
    """An INVALID index that an earlier try of a statement left behind."""

    oid: int
    name: str
    """Qualified and quoted."""
    estimated_seconds: float | None
    """What the gate noted of the build that it broke off."""


@dataclass(frozen=True, kw_only=True)
class ScannedTable:
    """The table that a statement goes through, to build an index of it or to read it alone."""

    table: str
    is_build: bool
    noted_seconds: float | None = None
    """What the gate noted of an earlier build that it broke off."""


def blocks_nobody(statement: str) -> bool:
    """Tell whether ``statement`` lets reads and writes through while it works and waits."""
    if not _HARMLESS_WORD.search(statement):
        return False
    bare = strip_comments(statement)
    rest = TOKEN.sub("", bare)
    if any(mark in rest for mark in (";", "/*", "*/")):
        return False  # several statements, or a comment within a comment
    return any(pattern.match(bare) for pattern in _HARMLESS)


def prepare(statement: str, fetch: Fetch, *, remaining_seconds: float, in_transaction: bool) -> str:
    """Put right what an earlier try of ``statement`` left; return the statement to run in its place.

    Raises:
        DeadlineExceededError: an earlier build was broken off, and would not fit this deadline either.
    """
    bare = strip_comments(statement)
    if detach := _DETACH.match(bare):
        return _finalize(bare, detach, fetch) or statement
    if in_transaction:
        return statement  # refused by the server: nothing of it can have been left, and nothing may be dropped here
    if create := _CREATE_INDEX.match(bare):
        for index in _broken_indexes(fetch, create["table"], [_last(create["index"])]):
            if index.estimated_seconds is not None and index.estimated_seconds > remaining_seconds:
                raise too_long(index.name, index.estimated_seconds, remaining_seconds, begun=False)
            log.warning("invalid_index_dropped", index=index.name, reason="left by an earlier try of this statement")
            fetch(f"DROP INDEX CONCURRENTLY {index.name}")
    elif reindex := _REINDEX.match(bare):
        for index in _leftovers_of_reindex(fetch, reindex):
            log.warning("invalid_index_dropped", index=index.name, reason="left by an earlier REINDEX CONCURRENTLY")
            fetch(f"DROP INDEX CONCURRENTLY {index.name}")
    return statement


def check_result(statement: str, fetch: Fetch) -> None:
    """Refuse the success of a statement after which the index that it names is INVALID (``IF NOT EXISTS``).

    Raises:
        MigrationFailedError: the index is there and no query may use it.
    """
    if not _HARMLESS_WORD.search(statement):
        return
    create = _CREATE_INDEX.match(strip_comments(statement))
    if create is None:
        return
    table, name = create["table"], _last(create["index"])
    rows = fetch(
        "SELECT class.oid::regclass::text FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"  # noqa: S608  quoted
        f" WHERE index.indrelid = to_regclass({quote_literal(table)}) AND class.relname = {quote_literal(name)}"
        " AND class.relkind = 'i' AND NOT index.indisvalid"
    )
    if rows:
        raise MigrationFailedError(
            f"Index {rows[0][0]} exists and is INVALID: another session is building it, or somebody left it so.",
            remedy=f"When nobody builds it: DROP INDEX CONCURRENTLY {rows[0][0]}; then run this again.",
            facts={"index": rows[0][0]},
        )


async def report_invalid_indexes(session: Session) -> None:
    """Log every INVALID index of the database that nobody builds: it costs each write and serves no query."""
    for row in await session.fetch(INVALID_INDEXES_SQL):
        log.warning("invalid_index_found", **row, remedy=f"DROP INDEX CONCURRENTLY {row['index']}, or REINDEX it")


def note_estimate_sql(statement: str, seconds: float) -> str | None:
    """Return SQL that notes on the index of a broken-off build how long it takes; None for other statements.

    The next run reads it, and does not begin again what cannot end in time.
    """
    create = _CREATE_INDEX.match(strip_comments(statement))
    if create is None:
        return None
    return (
        "DO $note$ DECLARE broken regclass; BEGIN FOR broken IN SELECT index.indexrelid FROM pg_index AS index"  # noqa: S608  quoted
        " JOIN pg_class AS class ON class.oid = index.indexrelid"
        f" WHERE index.indrelid = to_regclass({quote_literal(create['table'])}) AND NOT index.indisvalid"
        f" AND class.relname = {quote_literal(_last(create['index']))} LOOP"
        f" {set_owner_sql('broken')} EXECUTE format('COMMENT ON INDEX %s IS %L', broken, '{_NOTE}{seconds:.0f}'); END LOOP; END $note$"
    )


def scanned_table(statement: str, fetch: Fetch) -> ScannedTable | None:
    """Return the table whose size decides how long ``statement`` takes; None for a statement of another kind."""
    bare = strip_comments(statement)
    if create := _CREATE_INDEX.match(bare):
        broken = _broken_indexes(fetch, create["table"], [_last(create["index"])])
        noted = next((index.estimated_seconds for index in broken), None)
        return ScannedTable(table=create["table"], is_build=True, noted_seconds=noted)
    if (reindex := _REINDEX.match(bare)) and reindex["name"] and reindex["kind"].upper() == "TABLE":
        return ScannedTable(table=reindex["name"], is_build=True)
    if validate := _VALIDATE.match(bare):
        return ScannedTable(table=validate["table"], is_build=False)
    return None


def named_index(statement: str) -> str:
    """Return the index that CREATE INDEX CONCURRENTLY names, as it is written."""
    create = _CREATE_INDEX.match(strip_comments(statement))
    return create["index"] if create else ""


def too_long(index: str, estimated_seconds: float, remaining_seconds: float, *, begun: bool) -> DeadlineExceededError:
    """Return the error for a build that does not fit the deadline."""
    done = (
        f"The build of index {index} was broken off at the deadline"
        if begun
        else f"An earlier build of index {index} was broken off, and {remaining_seconds:.0f} s are left of this run's deadline, "
        "so it was not begun again"
    )
    return DeadlineExceededError(
        f"{done}: the whole takes about {estimated_seconds:.0f} s.",
        remedy="Build it beside the application, without the release's deadline: sage-migrate upgrade --online (of a fleet: fleet upgrade "
        f'--online). The next release finds it done; declared sage_migrate = {{"online": True}}, a release leaves it to such a run '
        f"({ONLINE}).",
        facts={"index": index, "estimated_seconds": round(estimated_seconds)},
    )


def _finalize(bare: str, detach: re.Match[str], fetch: Fetch) -> str | None:
    pending = fetch(
        "SELECT 1 FROM pg_inherits WHERE inhdetachpending"  # noqa: S608  quoted
        f" AND inhparent = to_regclass({quote_literal(detach['table'])})"
        f" AND inhrelid = to_regclass({quote_literal(detach['partition'])})"
    )
    if not pending:
        return None
    log.warning(
        "detach_finalized",
        table=detach["table"],
        partition=detach["partition"],
        reason="an earlier try left it pending",
    )
    return f"{detach['head']}FINALIZE{bare[detach.end() :]}"


def _broken_indexes(fetch: Fetch, table: str, names: Sequence[str]) -> list[BrokenIndex]:
    """Return the INVALID indexes of ``names`` on ``table`` that nobody is building.

    A partitioned table's index (relkind I) is INVALID until its partitions have theirs, and none of ours.
    """
    listed = ", ".join(quote_literal(name) for name in names)
    rows = fetch(
        "SELECT class.oid::int8, quote_ident(space.nspname) || '.' || quote_ident(class.relname), obj_description(class.oid, 'pg_class')"  # noqa: S608
        " FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"
        " JOIN pg_namespace AS space ON space.oid = class.relnamespace"
        f" WHERE index.indrelid = to_regclass({quote_literal(table)}) AND class.relname IN ({listed})"
        f" AND class.relkind = 'i' AND NOT index.indisvalid AND {_NOT_BEING_BUILT}"
    )
    return [BrokenIndex(oid=oid, name=name, estimated_seconds=_estimate(comment)) for oid, name, comment in rows]


def _leftovers_of_reindex(fetch: Fetch, reindex: re.Match[str]) -> list[BrokenIndex]:
    """Return the ``_ccnew`` and ``_ccold`` indexes that belong to the index or table that is rebuilt."""
    kind = reindex["kind"].upper()
    if reindex["name"] is None or kind not in ("INDEX", "TABLE"):
        return []
    # Of a partitioned table or index, those of every partition are rebuilt.
    target = f"to_regclass({quote_literal(reindex['name'])})"
    tree = f"SELECT relid FROM pg_partition_tree({target}) UNION SELECT {target}"  # noqa: S608  quoted
    column = "indexrelid" if kind == "INDEX" else "indrelid"
    owned = fetch(
        "SELECT index.indrelid::regclass::text, class.relname FROM pg_index AS index"  # noqa: S608  quoted
        f" JOIN pg_class AS class ON class.oid = index.indexrelid WHERE index.{column} IN ({tree})"
    )
    found: list[BrokenIndex] = []
    for table, name in owned:
        siblings = fetch(
            "SELECT class.relname FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"  # noqa: S608  quoted
            f" WHERE index.indrelid = to_regclass({quote_literal(table)}) AND NOT index.indisvalid"
        )
        suffixed = re.compile(re.escape(name) + r"_cc(?:new|old)\d*")
        names = [sibling for (sibling,) in siblings if suffixed.fullmatch(sibling)]
        if names:
            found += _broken_indexes(fetch, table, names)
    return found


def _estimate(comment: str | None) -> float | None:
    if comment is None or not comment.startswith(_NOTE):
        return None
    number = comment.removeprefix(_NOTE).strip()
    return float(number) if number.isdigit() else None


def _last(name: str) -> str:
    """Return the last part of a possibly qualified name, unquoted and folded as PostgreSQL does."""
    part: str = re.findall(r'"(?:[^"]|"")+"|[\w$]+', name)[-1]
    return part[1:-1].replace('""', '"') if part.startswith('"') else part.lower()
