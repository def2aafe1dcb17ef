"""A schema in words, by relation: equal where two schemas are the same to whoever uses them."""
# ruff: noqa: E501, S608  SQL of our own

from sage_migrate.trace.catalog import OURS
from sage_migrate.trace.scratch_database import ScratchSession

_OWNER = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"
_LINES = f"""
SELECT {_OWNER} AS relation, format('%s %s', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'sequence' END,
    concat_ws(' ', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), c.relpersistence,
    c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions, c.relacl, obj_description(c.oid, 'pg_class'))) AS line
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND {OURS}
UNION ALL
SELECT {_OWNER}, format('column %s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
    concat_ws(' ', ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, ''), nullif(a.attgenerated, ''), col_description(c.oid, a.attnum),
    (SELECT l.collname FROM pg_collation l WHERE l.oid = a.attcollation AND l.collname <> 'default')))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND {OURS}
UNION ALL
SELECT {_OWNER}, format('constraint %s %s%s', k.conname, pg_get_constraintdef(k.oid), CASE WHEN k.convalidated THEN '' ELSE ' not validated' END)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
UNION ALL
SELECT {_OWNER}, format('index %s%s', pg_get_indexdef(i.indexrelid), CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
UNION ALL
SELECT {_OWNER}, format('trigger %s %s', t.tgenabled, pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND {OURS}
UNION ALL
SELECT {_OWNER}, format('rule %s %s', r.ev_enabled, pg_get_ruledef(r.oid)) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND {OURS}
UNION ALL
SELECT {_OWNER}, concat_ws(' ', 'policy', p.polname, p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
UNION ALL
SELECT '', format('function %s %s', p.oid::regprocedure, md5(p.prosrc || p.provolatile::text || coalesce(p.proacl::text, ''))) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {OURS} AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
UNION ALL
SELECT '', format('type %s.%s %s', n.nspname, t.typname, coalesce((SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
    concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault, (SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid))))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r') AND {OURS}
UNION ALL
SELECT '', format('schema %s', n.nspname) FROM pg_namespace n WHERE {OURS}
UNION ALL
SELECT '', format('extension %s', extname) FROM pg_extension
"""

# A sequence's place is data, and no part of the description.
_COUNTERS = f"""
SELECT s.oid::int8 AS sequence, {_OWNER} AS relation, coalesce(pg_sequence_last_value(s.oid), 0) AS reached
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE s.relkind = 'S' AND {OURS}
"""

Description = dict[str, frozenset[str]]
Counters = dict[tuple[str, int], int]


def describe_schema(session: ScratchSession, version_table: str) -> Description:
    """Return what each relation consists of; under an empty name what is no relation's."""
    found: dict[str, set[str]] = {}
    for row in session.rows(_LINES):
        if row["relation"] != version_table:
            found.setdefault(row["relation"], set()).add(" ".join(row["line"].split()))
    return {relation: frozenset(lines) for relation, lines in found.items()}


def read_counters(session: ScratchSession) -> Counters:
    """Return how far each table's own sequences have come."""
    return {(row["relation"], row["sequence"]): row["reached"] for row in session.rows(_COUNTERS)}


def set_back(before: Counters, now: Counters) -> set[str]:
    """Return the tables with a sequence that has gone back: what it gives next may be there already."""
    return {
        relation for (relation, sequence), reached in before.items() if now.get((relation, sequence), reached) < reached
    }


def changed_relations(before: Description, now: Description) -> set[str] | None:
    """Return the relations that differ, None where a type, function or sequence does, which statements on any may name."""
    if before.get("") != now.get("") or any(
        line.startswith("sequence ") and line not in now.get(name, ())
        for name, lines in before.items()
        for line in lines
    ):
        return None
    return {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def tell_difference(wanted: Description, found: Description) -> str:
    """Return the first few differences in words."""
    parts = []
    for relation in sorted(wanted.keys() | found.keys()):
        was, is_ = wanted.get(relation, frozenset()), found.get(relation, frozenset())
        parts += [f"{relation or 'schema'} lacks {line}" for line in sorted(was - is_)]
        parts += [f"{relation or 'schema'} has {line}" for line in sorted(is_ - was)]
    more = f"; and {len(parts) - 3} more" if len(parts) > 3 else ""  # noqa: PLR2004
    return "; ".join(part[:160] for part in parts[:3]) + more
