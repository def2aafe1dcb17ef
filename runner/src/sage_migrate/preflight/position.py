"""Where the database stands in the project's history: behind, at, or ahead of it; and may this run go on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from sage_migrate.errors import DatabaseAheadError
from sage_migrate.lineage import Known, Lineage, parse_lineage
from sage_migrate.logs import log
from sage_migrate.project import Project
from sage_migrate.session import Session, quote_identifier, quote_literal
from sage_migrate.settings import Settings

VERSION_TABLE_SQL = (
    "SELECT quote_ident(space.nspname) || '.' || quote_ident(class.relname), obj_description(class.oid, 'pg_class'),"
    " pg_has_role(current_user, class.relowner, 'USAGE') FROM pg_class AS class"
    " JOIN pg_namespace AS space ON space.oid = class.relnamespace"
)
"""What is told of a version table: its name, its comment, and whether the current role may write one."""


@dataclass(frozen=True, kw_only=True)
class VersionTable:
    """What the server tells of a version table, or of one that is to be made."""

    name: str
    """Qualified and quoted."""
    exists: bool = False
    comment: str | None = None
    may_comment: bool = False


@dataclass(frozen=True, kw_only=True)
class Position:
    """What the version table says, and what the lineage beside it says."""

    table: str
    """Qualified and quoted, as any session of this database can name it."""
    current: tuple[str, ...]
    lineage: Lineage
    lineage_is_stale: bool
    may_comment: bool
    ahead: bool = False

    def moved_to(self, heads: Iterable[str]) -> "Position":
        """Return the position after a revision was applied."""
        return replace(self, current=tuple(sorted(heads)))

    def recorded(self, lineage: Lineage) -> "Position":
        """Return the position with the lineage written."""
        return replace(self, lineage=lineage, lineage_is_stale=False)


def check_position(project: Project, settings: Settings, position: Position, destination: str) -> Position:
    """Return where the database stands, given what was read on env.py's own connection.

    Raises:
        DatabaseAheadError: it is at a revision that this image lacks, and that may not be accepted.
    """
    heads = position.current
    unknown = sorted(set(heads) - set(project.scripts))
    if not unknown:
        return position
    required = project.resolve(destination) or project.heads
    facts = {"current": heads, "required": required}
    names = ", ".join(unknown)
    problem = position.lineage.why_not_ahead(heads, required)
    accepted = settings.if_ahead == "accept" or (settings.if_ahead == "known" and problem is None)
    if not accepted:
        msg = f"The database is at {names}, which this image does not contain" + (f": {problem}." if problem else ".")
        raise DatabaseAheadError(
            msg,
            remedy=f"Deploy an image that contains {names}, or restore the database that goes with this one. Once, with a reason: "
            "--if-ahead accept (SAGE_MIGRATE_IF_AHEAD, Helm: migration.ifAhead) leaves the database as it is.",
            facts=facts,
        )
    log.warning(
        "database_ahead",
        message=f"The database is at {names}, ahead of this image's {', '.join(required)}. Nothing is done.",
        accepted_because=settings.if_ahead
        if problem
        else "the recorded lineage shows that this image's head is its ancestor",
        reason=settings.reason,
        **facts,
    )
    return replace(position, ahead=True)


async def read_versions(session: Session, table: str) -> tuple[str, ...]:
    """Read the version table, whose qualified and quoted name is ``table``, on the gate's own session.

    A table that is not there, because its creation was rolled back, holds nothing.
    """
    # Where env.py, or --role, migrates as another role, that one owns the table and this one may lack the right.
    owners = await session.fetch(
        "SELECT quote_ident(pg_get_userbyid(class.relowner)) AS owner FROM pg_class AS class"  # noqa: S608  quoted
        " JOIN pg_namespace AS space ON space.oid = class.relnamespace,"
        " LATERAL (SELECT '\"' || replace(space.nspname, '\"', '\"\"') || '\"' AS space,"
        "  '\"' || replace(class.relname, '\"', '\"\"') || '\"' AS name) AS quoted"
        f" WHERE ({quote_literal(table)} IN (quote_ident(space.nspname) || '.' || quote_ident(class.relname),"
        f"  quoted.space || '.' || quoted.name) OR {quote_literal(table)} = quoted.name AND pg_table_is_visible(class.oid))"
        " AND NOT (has_schema_privilege(space.oid, 'USAGE') AND has_table_privilege(class.oid, 'SELECT'))"
    )
    if owners:
        await session.fetch(f"SET ROLE {owners[0]['owner']}")
    try:
        (row,) = await session.fetch(f"SELECT to_regclass({quote_literal(table)}) IS NULL AS absent")
        rows = [] if row["absent"] else await session.fetch(f"SELECT version_num FROM {table}")  # noqa: S608  quoted
    finally:
        if owners:
            await session.fetch("RESET ROLE")
    return tuple(sorted(row["version_num"] for row in rows))


def read_position(
    heads: tuple[str, ...], context: MigrationContext, known: Callable[[], Mapping[str, Known]]
) -> Position:
    """Read the version table's real name, its comment and whether the current role may write one."""
    return make_position(heads, find_version_table(context), known)


def find_version_table(context: MigrationContext) -> VersionTable:
    """Ask the server for the version table, by the name that Alembic was told."""
    assert context.connection is not None
    name = quote_identifier(context.version_table)
    if context.version_table_schema:
        name = f"{quote_identifier(context.version_table_schema)}.{name}"
    sql = text(f"{VERSION_TABLE_SQL} WHERE class.oid = to_regclass(:name)")
    row = context.connection.execute(sql, {"name": name}).one_or_none()
    if row is None:
        return VersionTable(name=name)
    return VersionTable(name=row[0], exists=True, comment=row[1], may_comment=bool(row[2]))


def make_position(heads: Iterable[str], table: VersionTable, known: Callable[[], Mapping[str, Known]]) -> Position:
    """Return the position that these heads and the comment of the version table tell."""
    lineage = parse_lineage(table.comment)
    return Position(
        table=table.name,
        current=tuple(sorted(heads)),
        lineage=lineage,
        lineage_is_stale=lineage.merge(known()).revisions != lineage.revisions,
        may_comment=table.may_comment,
    )
