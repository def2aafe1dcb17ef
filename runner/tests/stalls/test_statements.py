"""Which statements block nobody, by their text alone: a wrong yes would queue behind a reader and stall everybody."""

import pytest
from sage_migrate.concurrent_ddl import blocks_nobody, named_index
from sage_migrate.statement_text import strip_comments

HARMLESS = [
    "CREATE INDEX CONCURRENTLY i ON t (a)",
    "create unique index concurrently if not exists i on t (a)",
    "CREATE INDEX CONCURRENTLY ON t (a)",
    "CREATE INDEX CONCURRENTLY i ON t (a);",
    "CREATE INDEX CONCURRENTLY i ON t (a) ;  \n -- done\n",
    "\n  -- why\n/* and how;\n */ CREATE\n  INDEX\tCONCURRENTLY i ON t (a)",
    "CREATE INDEX /* not in a transaction */ CONCURRENTLY i ON t (a)",
    "CREATE INDEX CONCURRENTLY i ON t (a) WHERE name <> ';'",
    'CREATE INDEX CONCURRENTLY "a;b" ON t (a)',
    "CREATE INDEX CONCURRENTLY i ON t (f($$;$$))",
    "DROP INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY IF EXISTS i, j",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX TABLE CONCURRENTLY public.t",
    "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
    "REINDEX (CONCURRENTLY) INDEX i",
    "REINDEX (VERBOSE, CONCURRENTLY ON) TABLE t",
    "REINDEX SCHEMA CONCURRENTLY public",
    "REINDEX DATABASE CONCURRENTLY app",
    "ALTER TABLE t VALIDATE CONSTRAINT c",
    'ALTER TABLE IF EXISTS ONLY "S"."T" VALIDATE CONSTRAINT "a, b"',
    "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
    'alter table "T" detach partition s."P" concurrently;',
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
    "VACUUM",
    "VACUUM t",
    "VACUUM (ANALYZE, VERBOSE) t",
    "VACUUM (FULL false) t",
    "VACUUM (FULL off, ANALYZE) t",
    "VACUUM (FULL 0) t",
    "VACUUM fullness",
    "ANALYZE",
    "ANALYZE t (a, b)",
    "ANALYSE VERBOSE t",
]
NOT_HARMLESS = [
    "CREATE INDEX i ON t (a)",
    "CREATE INDEX i ON t (concurrently)",
    "DROP INDEX i",
    "REINDEX TABLE t",
    "REINDEX (CONCURRENTLY false) TABLE t",
    "REINDEX (VERBOSE) INDEX i",
    'REINDEX TABLE "CONCURRENTLY"',
    "ALTER TABLE t VALIDATE CONSTRAINT c, ADD COLUMN a int",
    "ALTER TABLE t ADD COLUMN a int, VALIDATE CONSTRAINT c",
    "ALTER TABLE t DETACH PARTITION p",
    "ALTER TABLE t DETACH PARTITION p FINALIZE",
    "ALTER TABLE t DETACH PARTITION concurrently",
    "REFRESH MATERIALIZED VIEW v",
    "VACUUM FULL",
    "VACUUM FULL t",
    "VACUUM (FULL) t",
    "VACUUM (ANALYZE, FULL) t",
    "VACUUM (FULL true) t",
    "VACUUM (FULL 1) t",
    "VACUUM(FULL)t",
    "vacuum /* all of it */ full t",
    "VACUUM -- slowly\n FULL t",
    "VACUUM (/* all */ FULL) t",
    "ANALYZE t; ALTER TABLE t ADD COLUMN a int",
    "CREATE INDEX CONCURRENTLY i ON t (a); LOCK TABLE t",
    "ALTER TABLE t VALIDATE CONSTRAINT c; ALTER TABLE t ADD COLUMN a int",
    "ANALYZE t /* ; */ ; DROP TABLE t",
    "VACUUM t;\nVACUUM FULL t",
    "-- CREATE INDEX CONCURRENTLY i ON t (a)\nALTER TABLE t ADD COLUMN a int",
    "/* VACUUM */ LOCK TABLE t",
    "/* a /* b */ VACUUM */ LOCK TABLE t",
    "DO $$ BEGIN ANALYZE t; END $$",
    "SELECT 'VACUUM t'",
    "EXPLAIN ANALYZE DELETE FROM t",
    "",
]


@pytest.mark.parametrize("statement", HARMLESS)
def test_statements_that_block_nobody(statement: str) -> None:
    """They get what is left of the deadline."""
    assert blocks_nobody(statement)


@pytest.mark.parametrize("statement", NOT_HARMLESS)
def test_statements_that_may_block(statement: str) -> None:
    """They keep the short lock_timeout."""
    assert not blocks_nobody(statement)


def test_comments_are_left_out_and_quotes_kept() -> None:
    """What looks like a comment within quotes is none."""
    assert (
        strip_comments("/* a */ SELECT '--', \"/*\", $x$ -- $x$ -- b\n, 1; ")
        == "SELECT '--', \"/*\", $x$ -- $x$  \n, 1"
    )


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("CREATE INDEX CONCURRENTLY people_name ON people (name)", "people_name"),
        ('/* x */ CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "My ""Index""" ON "S"."T" (a)', '"My ""Index"""'),
        ("CREATE INDEX CONCURRENTLY ON people (name)", ""),
        ("DROP INDEX CONCURRENTLY people_name", ""),
    ],
)
def test_the_index_that_a_statement_names(statement: str, index: str) -> None:
    """As it is written; an index without a name of its own cannot be told from others."""
    assert named_index(statement) == index
