"""Tenants as schemas of a test's database, and where each of them is."""

from collections.abc import Iterable

from harness.command import Outcome
from harness.postgres import Database
from harness.project import Project
from sage_migrate.session import quote_identifier, quote_literal


def make_schemas(database: Database, names: Iterable[str]) -> list[str]:
    """Make the schemas and return their names."""
    made = list(names)
    database.execute("; ".join(f"CREATE SCHEMA {quote_identifier(name)}" for name in made))
    return made


def version_of(database: Database, schema: str) -> list[str]:
    """Return what the version table of a schema holds."""
    table = f"{quote_identifier(schema)}.alembic_version"
    if database.value(f"SELECT to_regclass({quote_literal(table)}) IS NULL"):
        return []
    return [row[0] for row in database.rows(f"SELECT version_num FROM {table}")]


def states(outcome: Outcome) -> dict[str, list[str]]:
    """Return the tenants that ended in each state."""
    found: dict[str, list[str]] = {}
    for event in outcome.events:
        if event["event"] in ("tenant_done", "tenant_failed"):
            found.setdefault(event["state"], []).append(event["tenant"])
    return {state: sorted(tenants) for state, tenants in found.items()}


def add_orders(project: Project) -> None:
    """Add three revisions: a table, a column with an index, a second table."""
    project.add("a1", "CREATE TABLE orders (id int PRIMARY KEY, customer text)")
    project.add("b2", "ALTER TABLE orders ADD note text; CREATE INDEX ON orders (customer)")
    project.add("c3", "CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders)")
