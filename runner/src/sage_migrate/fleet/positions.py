"""Where many schemas of one database are, by two queries for hundreds of them."""

from collections.abc import Mapping, Sequence

from sage_migrate.fleet.results import TenantPosition
from sage_migrate.lineage import Known, Lineage, parse_lineage
from sage_migrate.project import Project
from sage_migrate.session import Session, is_broken, quote_literal

_TABLES = """
SELECT space.nspname AS schema, quote_ident(space.nspname) || '.' || quote_ident(class.relname) AS name,
       obj_description(class.oid, 'pg_class') AS comment
FROM pg_namespace AS space
LEFT JOIN pg_class AS class ON class.relnamespace = space.oid AND class.relname = {table} AND class.relkind IN ('r', 'p')
WHERE space.nspname IN ({schemas})
"""


async def read_positions(
    session: Session, schemas: Sequence[str], version_table: str, project: Project, known: Mapping[str, Known]
) -> list[TenantPosition]:
    """Return where each of ``schemas`` is, in their order. A schema that cannot be read keeps no other from being read."""
    if not schemas:
        return []
    tables = await session.fetch(
        _TABLES.format(table=quote_literal(version_table), schemas=", ".join(map(quote_literal, schemas)))
    )
    comments = {row["schema"]: row["comment"] for row in tables}
    versions = await _read_versions(session, {row["schema"]: row["name"] for row in tables if row["name"]})
    found = []
    for schema in schemas:
        if schema not in comments:
            found.append(TenantPosition(tenant=schema, state="absent", reason="there is no such schema"))
        elif isinstance(current := versions.get(schema, ()), str):
            found.append(TenantPosition(tenant=schema, state="unreadable", reason=current))
        else:
            found.append(_judge(schema, current, parse_lineage(comments[schema]), project, known))
    return found


def pending_after(current: Sequence[str], project: Project) -> list[str]:
    """Return the revisions of the project that a tenant at ``current`` has not had."""
    had = project.ancestors(current)
    return [revision for revision in project.scripts if revision not in had]


async def _read_versions(session: Session, tables: Mapping[str, str]) -> dict[str, tuple[str, ...] | str]:
    """Return what the version table of each schema holds, or why it could not be read."""
    if not tables:
        return {}
    union = " UNION ALL ".join(
        f"SELECT {number}, version_num FROM {name}"  # noqa: S608  quoted by the server
        for number, name in enumerate(tables.values())
    )
    try:
        rows = await session.fetch(f"SELECT * FROM ({union}) AS found (number, version)")  # noqa: S608  quoted
    except Exception as error:
        if is_broken(error) or getattr(error, "sqlstate", None) is None:
            raise
        if len(tables) == 1:
            return dict.fromkeys(tables, str(error))
        names = list(tables)  # one of them is locked, gone, or another role's
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        first, second = [await _read_versions(session, {name: tables[name] for name in half}) for half in halves]
        return {**first, **second}
    schemas = list(tables)
    versions: dict[str, list[str]] = {schema: [] for schema in schemas}
    for row in rows:
        versions[schemas[row["number"]]].append(row["version"])
    return {schema: tuple(sorted(each)) for schema, each in versions.items()}


def _judge(
    schema: str, current: tuple[str, ...], lineage: Lineage, project: Project, known: Mapping[str, Known]
) -> TenantPosition:
    head = tuple(sorted(project.heads))
    if set(current) - set(project.scripts):
        reason = lineage.why_not_ahead(current, head)
        return TenantPosition(
            tenant=schema, state="unknown" if reason else "ahead", current=current, reason=reason or ""
        )
    pending = pending_after(current, project)
    is_online = bool(pending) and all(project.declaration(revision).online for revision in pending)
    return TenantPosition(
        tenant=schema,
        state="at-head" if current == head else "online-pending" if is_online else "pending",
        current=current,
        pending=len(pending),
        is_recorded=lineage.merge(known).revisions == lineage.revisions,
    )
