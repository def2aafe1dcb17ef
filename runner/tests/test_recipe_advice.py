"""Refusals name the recipe that fits, with the user's own table and columns; what they name is there."""

import re
from pathlib import Path

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate import recipes
from sage_migrate.recipes import advise

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        (
            'ALTER TABLE shop."Orders" ALTER COLUMN currency SET NOT NULL',
            (
                'Let a check of shop."Orders".currency be validated first, which SET NOT NULL then trusts: ALTER TABLE shop."Orders" ADD '
                "CONSTRAINT … CHECK (currency IS NOT NULL) NOT VALID, and VALIDATE in the next revision "
                "(docs/recipes.md#make-a-column-not-null)."
            ),
        ),
        (
            "/* wide */ alter table only events alter id type bigint",
            (
                "Add a column of the new type beside events.id, kept in step by a trigger, fill it by a declared backfill, and let the two "
                "change places in a later release (docs/recipes.md#widen-an-integer-key)."
            ),
        ),
        (
            "UPDATE orders AS o SET currency = 'EUR' WHERE currency IS NULL",
            (
                'Declare it instead, and the gate does it in short batches: sage_migrate = {"backfill": {"table": "orders", "set": '
                '"currency = …", "where": "currency IS NULL"}} (docs/backfills.md).'
            ),
        ),
        (
            "UPDATE orders SET currency = 'EUR'",
            (
                'Declare it instead, and the gate does it in short batches: sage_migrate = {"backfill": {"table": "orders", "set": '
                '"currency = …", "where": "currency IS NULL"}} (docs/backfills.md).'
            ),
        ),
        (
            "DELETE FROM sessions WHERE old",
            "Go through sessions in batches by its key, each committed by itself (docs/backfills.md#rows-to-delete-or-to-copy).",
        ),
        (
            "INSERT INTO archive SELECT * FROM events WHERE old",
            "Go through events in batches by its key, each committed by itself (docs/backfills.md#rows-to-delete-or-to-copy).",
        ),
        *(
            (
                statement,
                (
                    "Build the index of orders CONCURRENTLY, in an autocommit_block of a revision of its own; where the release's code "
                    'does without it, sage_migrate = {"online": True} lets a release leave it (docs/online.md).'
                ),
            )
            for statement in (
                "CREATE INDEX ON orders (note)",
                "CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY orders (note)",
            )
        ),
        (
            "REFRESH MATERIALIZED VIEW shop.totals WITH DATA",
            (
                "REFRESH MATERIALIZED VIEW CONCURRENTLY shop.totals lets its readers go on; it needs a unique index of it. Where the "
                'release\'s code does without it, sage_migrate = {"online": True} lets a release leave it (docs/online.md).'
            ),
        ),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY shop.totals", None),
        (
            "ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
            (
                "Let a check prove the bounds of events_2025 first, which ATTACH then trusts: ALTER TABLE events_2025 ADD CONSTRAINT … "
                "CHECK (…) NOT VALID, and VALIDATE in the next revision. Where there is a default partition, a check of it has to exclude "
                "the same rows."
            ),
        ),
        *(
            (
                statement,
                (
                    "pg_repack --table orders writes it anew beside those who use it; a plain VACUUM makes room in it for new rows, and "
                    "blocks nobody."
                ),
            )
            for statement in (
                "VACUUM FULL VERBOSE orders",
                "VACUUM (FULL, ANALYZE) orders",
                "VACUUM (FULL) ONLY orders",
                "CLUSTER orders USING by_day",
                "CLUSTER VERBOSE orders",
            )
        ),
        *(
            (statement, None)
            for statement in (
                "VACUUM (ANALYZE) orders",
                "VACUUM (FULL false) orders",
                "VACUUM FULL ANALYZE",
                "CLUSTER VERBOSE",
                "CLUSTER by_day ON orders",
                "REFRESH MATERIALIZED VIEW totals WITH NO DATA",
            )
        ),
        (
            "REINDEX TABLE orders",
            (
                "Rebuild orders CONCURRENTLY, in an autocommit_block of a revision of its own; where the release's code does without it, "
                'sage_migrate = {"online": True} lets a release leave it (docs/online.md).'
            ),
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT one UNIQUE (number)",
            (
                "Build a unique index of orders CONCURRENTLY, in an autocommit_block of a revision of its own; where the release's code "
                'does without it, sage_migrate = {"online": True} lets a release leave it (docs/online.md). Then let the constraint take '
                "it (ALTER TABLE orders ADD CONSTRAINT one UNIQUE USING INDEX …)."
            ),
        ),
        *(
            (
                f"ALTER TABLE orders ADD {column}",
                (
                    "Add orders.public_id without a value; let a default that is set afterwards, or a trigger, give new rows theirs, and "
                    'the gate fill the others in short batches, declared in the next revision: sage_migrate = {"backfill": {"table": '
                    '"orders", "set": "public_id = …", "where": "public_id IS NULL"}} (docs/backfills.md).'
                ),
            )
            for column in (
                "COLUMN public_id uuid DEFAULT gen_random_uuid() NOT NULL",
                "public_id bigserial",
                "IF NOT EXISTS public_id int GENERATED ALWAYS AS (id + 1) STORED",
            )
        ),
        ("ALTER TABLE orders ADD COLUMN note text", None),
        (
            "ALTER TABLE orders ADD FOREIGN KEY(shop_id) REFERENCES shops (id)",
            (
                "Add the constraint NOT VALID, and let the next revision check the rows: ALTER TABLE orders VALIDATE CONSTRAINT … "
                "(docs/recipes.md#make-a-column-not-null)."
            ),
        ),
        (
            "ALTER TABLE orders ALTER currency SET DEFAULT 'EUR', ALTER currency SET NOT NULL",
            (
                "Let a check of orders.currency be validated first, which SET NOT NULL then trusts: ALTER TABLE orders ADD CONSTRAINT … "
                "CHECK (currency IS NOT NULL) NOT VALID, and VALIDATE in the next revision (docs/recipes.md#make-a-column-not-null)."
            ),
        ),
        (
            "ALTER TABLE orders ADD CONSTRAINT paid CHECK (paid >= 0)",
            (
                "Add the constraint NOT VALID, and let the next revision check the rows: ALTER TABLE orders VALIDATE CONSTRAINT paid "
                "(docs/recipes.md#make-a-column-not-null)."
            ),
        ),
        (
            "ALTER TABLE orders VALIDATE CONSTRAINT paid",
            (
                "It reads orders and blocks nobody: give it a revision of its own, and where the release's code does without it, "
                'sage_migrate = {"online": True} lets a release leave it (docs/online.md).'
            ),
        ),
        ("ALTER TABLE orders ADD CONSTRAINT paid CHECK (paid >= 0) NOT VALID", None),
        ("SELECT pg_sleep(9)", None),
    ],
)
def test_a_statement_has_its_recipe(statement: str, advice: str | None) -> None:
    """Or none, where no page tells of it."""
    assert advise(statement) == advice


def test_each_recipe_is_there() -> None:
    """The page, and the heading of the anchor."""
    named = [value for name, value in vars(recipes).items() if name.isupper() and str(value).startswith("docs/")]
    assert len(named) == 6
    for each in named:
        page, _, anchor = each.partition("#")
        headings = re.findall(r"^#+ (.*)$", (REPOSITORY / page).read_text(), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_a_refusal_tells_it(project: Project, database: Database, gate: CommandLine) -> None:
    """Who reads the release's output need not look for the page."""
    database.execute("CREATE TABLE orders AS SELECT 1 AS id, NULL::text AS note")
    project.add("a1", "UPDATE orders SET note = 'n' FROM pg_sleep(30)")
    limits = ("--lock-timeout", "50ms", "--stall-budget", "100ms", "--statement-timeout", "300ms")
    message = gate.run(project, "upgrade", *limits).expect(33).message
    assert message.endswith(
        'Declare it instead, and the gate does it in short batches: sage_migrate = {"backfill": {"table": "orders", "set": "note = …", '
        '"where": "note IS NULL"}} (docs/backfills.md). Or lengthen --statement-timeout (Helm: migration.statementTimeout).'
    )
