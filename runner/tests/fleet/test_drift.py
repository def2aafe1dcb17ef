"""Drift: tenants at one revision whose schema differs are named by `fleet status`, with what differs."""

import json
from typing import Any

from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

from fleet.schemas import make_schemas


def drift(gate: CommandLine, project: Project, *asked: str) -> dict[str, Any]:
    """Return what differs, by tenant."""
    status = json.loads(gate.run(project, "fleet", "status", *asked, "--format", "json").expect(0).stdout)
    assert status["not_compared"] == 0
    return {each["tenant"]: each["differences"] for each in status["drift"]}


def test_odd_ones_are_named_with_what_differs(project: Project, database: Database, gate: CommandLine) -> None:
    """Whatever a schema is called, its own name is no difference; nor are partitions, and the order of columns."""
    asked = ("--tenants-query", "SELECT nspname FROM pg_namespace WHERE nspname ILIKE 'tenant%'")
    tenants = make_schemas(
        database, [*(f"tenant_{number}" for number in range(6)), "Tenant é.'\\\"", "tenant", "tenant_"]
    )
    project.add(
        "a1",
        """
        op.execute(
            "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric CHECK (VALUE > 0);"
            " CREATE TABLE orders (id serial PRIMARY KEY, mood mood DEFAULT 'ok', price price, note text, tenant text);"
            " CREATE INDEX orders_note ON orders (lower(note)) WHERE mood = 'ok';"
            " CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY, order_id int REFERENCES orders);"
            " CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            " CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();"
            " CREATE VIEW sad AS SELECT id FROM orders WHERE mood = 'sad';"
            " CREATE TABLE events (at date) PARTITION BY RANGE (at)"
        )
        """,
    )
    gate.run(project, "fleet", "upgrade", *asked).expect(0)
    database.execute(
        "CREATE TABLE tenant_0.events_1 PARTITION OF tenant_0.events FOR VALUES FROM (MINVALUE) TO ('2026-01-01')"
    )
    database.execute("ALTER TABLE tenant_0.items DROP order_id, ADD other int")
    database.execute("ALTER TABLE tenant_0.items DROP other, ADD order_id int REFERENCES tenant_0.orders")
    assert drift(gate, project, *asked) == {}

    database.execute("ALTER TABLE tenant_1.orders ALTER note TYPE varchar(20), ALTER price SET NOT NULL")
    database.execute("DROP INDEX tenant_2.orders_note; CREATE TABLE tenant_2.extra (id int PRIMARY KEY)")
    database.execute("DROP TABLE tenant_3.items; ALTER TYPE tenant_3.mood ADD VALUE 'glad'")
    database.execute(
        "ALTER TABLE tenant_4.orders DISABLE TRIGGER touch; ALTER TABLE tenant_4.items ADD CONSTRAINT c CHECK (id > 0)"
    )
    database.execute(
        "CREATE OR REPLACE FUNCTION tenant_5.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"
    )
    found = drift(gate, project, *asked)
    trigger = "CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()"
    index = "CREATE INDEX orders_note ON orders USING btree (lower({})) WHERE (mood = 'ok'::mood)"
    functions = found.pop("tenant_5")
    assert found == {
        "tenant_1": [
            "column orders.note is character varying(20), elsewhere text",
            "column orders.price is price NOT NULL, elsewhere price",
            f"index orders.orders_note is {index.format('(note)::text')}, elsewhere {index.format('note')}",
        ],
        "tenant_2": ["index orders.orders_note is missing", "table extra is here alone"],
        "tenant_3": [
            "table items is missing",
            "sequence items_id_seq is missing",
            "type mood is 'sad', 'ok', 'glad', elsewhere 'sad', 'ok'",
        ],
        "tenant_4": ["constraint items.c is here alone", f"trigger orders.touch is {trigger} D, elsewhere {trigger}"],
    }
    assert [line.partition(" is ")[0] for line in functions] == ["function touch()"]
    text = gate.run(project, "fleet", "status", *asked).expect(0).stdout.splitlines()
    assert "drift      tenant_2  a1  index orders.orders_note is missing" in text
    assert f"at-head    {len(tenants)}" in text


def test_databases_are_compared_too(project: Project, database: Database, gate: CommandLine) -> None:
    """All their schemas, save the system's."""
    project.add("a1", "CREATE TABLE orders (id int); CREATE SCHEMA audit; CREATE TABLE audit.log (id int)")
    others = [Database(database.server, f"{database.name}_of_{number}") for number in range(3)]
    asked = ("--databases", f"{database.name}\\_of\\_%")
    gate.run(project, "fleet", "upgrade", *asked).expect(0)
    others[1].execute("ALTER TABLE audit.log ADD note text; DROP TABLE orders")
    found = drift(gate, project, *asked)
    for each in others:
        each.drop()
    assert found == {others[1].name: ["column audit.log.note is here alone", "table orders is missing"]}
