"""Read the scratch database's catalogue: its relations, and the schema as the linter's rules know one."""
# ruff: noqa: E501, S608  SQL of our own

from dataclasses import dataclass, field

from sage_migrate.lint import sql as lint_sql
from sage_migrate.lint import statements as ir
from sage_migrate.lint.schema import Schema
from sage_migrate.trace.scratch_database import ScratchSession

OURS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
"""Whatever is not the system's."""
# Names as the linter spells them: with the schema unless that is public.
_NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"
_RELATIONS = f"""
SELECT c.oid::int8 AS oid, {_NAME} AS name, c.relkind::text AS kind, pg_relation_filenode(c.oid)::int8 AS file, i.indrelid::int8 AS owner,
  h.inhparent::int8 AS parent, c.relnatts AS columns, greatest(c.reltuples, 0)::float8 AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_inherits h ON h.inhrelid = c.oid AND c.relispartition
WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND {OURS}
"""
_COLUMNS = f"""
SELECT {_NAME} AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, a.atthasdef AS has_default,
  a.attidentity <> '' AS identity, a.attgenerated::text AS generated
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {OURS} ORDER BY a.attrelid, a.attnum
"""
# Each as a statement that would make it, for the linter's own reader.
_STATEMENTS = f"""
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND {OURS}
UNION ALL
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AND {OURS}
UNION ALL
SELECT format('CREATE %sVIEW %s AS %s', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END, c.oid::regclass, pg_get_viewdef(c.oid))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {OURS}
UNION ALL
SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prorettype = 'trigger'::regtype AND {OURS}
"""
_ENUMS = f"""
SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {OURS} GROUP BY 1
"""
_DOMAINS = f"""
SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || t.typname AS name,
  t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid) AS constrained
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {OURS}
"""
_DEFAULT_PARTITIONS = f"""
SELECT p.partrelid::regclass::text AS parent, nullif(p.partdefid, 0)::regclass::text AS child
FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
"""


@dataclass(kw_only=True, slots=True)
class Relation:
    """A table, materialized view or index."""

    name: str
    kind: str
    file: int | None
    owner: int | None = None
    """Of an index, its table."""
    parent: int | None = None
    """Of a partition, what it is a part of."""
    columns: int = 0
    """How many it had, the numbers of dropped ones included."""
    rows: float = 0.0

    @property
    def is_table(self) -> bool:
        """Tell whether it holds rows of its own or through its partitions."""
        return self.kind in "rpm"


@dataclass(kw_only=True, slots=True)
class Relations:
    """The relations by OID."""

    by_oid: dict[int, Relation] = field(default_factory=dict)

    @property
    def tables(self) -> dict[int, Relation]:
        """Those that are tables."""
        return {oid: each for oid, each in self.by_oid.items() if each.is_table}


def read_relations(session: ScratchSession, version_table: str) -> Relations:
    """Return the relations, without Alembic's version table; a partitioned table has the rows of its partitions."""
    found = Relations(
        by_oid={
            row["oid"]: Relation(
                name=row["name"],
                kind=row["kind"],
                file=row["file"],
                owner=row["owner"],
                parent=row["parent"],
                columns=row["columns"],
                rows=row["rows"],
            )
            for row in session.rows(_RELATIONS)
        }
    )
    version = {oid for oid, each in found.by_oid.items() if each.name == version_table}
    for oid in [oid for oid, each in found.by_oid.items() if oid in version or each.owner in version]:
        del found.by_oid[oid]
    for each in list(found.by_oid.values()):
        if each.is_table and each.kind != "p" and each.parent in found.by_oid:
            ancestor: int | None = each.parent
            while ancestor in found.by_oid:
                found.by_oid[ancestor].rows += each.rows if found.by_oid[ancestor].kind == "p" else 0.0
                ancestor = found.by_oid[ancestor].parent
    return found


def read_schema(session: ScratchSession) -> Schema:
    """Return the schema as the linter's rules know one."""
    schema = Schema()
    for row in session.rows(_COLUMNS):
        default: ir.Volatility | None = "constant" if row["has_default"] and not row["generated"] else None
        schema.table(row["table"]).columns[row["name"]] = ir.Column(
            name=row["name"],
            type=lint_sql.parse_type(row["type"]),
            not_null=row["not_null"],
            default=default,
            identity=row["identity"],
            generated={"s": "stored", "v": "virtual"}.get(row["generated"]),  # type: ignore[arg-type]
        )
    for (text,) in session.rows(_STATEMENTS):
        for parsed in lint_sql.parse(text):
            for action in parsed.actions:
                schema.apply(action)
    schema.enums = {row["name"]: tuple(row["labels"]) for row in session.rows(_ENUMS)}
    schema.domains = {row["name"]: row["constrained"] for row in session.rows(_DOMAINS)}
    for row in session.rows(_DEFAULT_PARTITIONS):
        table = schema.table(row["parent"])
        table.partitioned, table.default_partition = True, row["child"]
    return schema
