"""Online revisions of many tenants: who is left with them is told apart, and a run with more time does them."""

import json

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

from fleet.schemas import make_schemas, states, version_of

ASKED = ("--schemas", "tenant%")
BUILD = """
with op.get_context().autocommit_block():
    op.create_index('orders_note', 'orders', ['note'], postgresql_concurrently=True, if_not_exists=True)
"""
REMEDY = "sage-migrate fleet upgrade --online, for the same tenants"


@pytest.fixture
def with_online(project: Project) -> Project:
    """Add a revision, and one that may be left."""
    project.add("a1", "CREATE TABLE a (id int)")
    project.add("b2", BUILD, head="sage_migrate = {'online': True}")
    return project


def make_orders(database: Database, schema: str) -> None:
    """Make the table that the index is of."""
    database.execute(f"CREATE TABLE {schema}.orders (id int PRIMARY KEY, note text)")
    database.execute(f"INSERT INTO {schema}.orders SELECT n FROM generate_series(1, 20) AS n")


def break_off_build(database: Database, schema: str) -> None:
    """Leave the INVALID index of a build that the gate broke off, which would have taken 4,000 seconds."""
    with pytest.raises(Exception, match="unique"):
        database.execute(f"CREATE UNIQUE INDEX CONCURRENTLY orders_note ON {schema}.orders (coalesce(note, ''))")
    note = "sage-migrate: build broken off, estimated seconds 4000"
    database.execute(f"COMMENT ON INDEX {schema}.orders_note IS '{note}'")


def test_left_is_a_state_of_its_own(with_online: Project, database: Database, gate: CommandLine) -> None:
    """The release succeeds and says what to do; so does a release beside the online run, which waits for nothing."""
    for tenant in make_schemas(database, ["tenant_0", "tenant_1"]):
        make_orders(database, tenant)
    break_off_build(database, "tenant_0")
    released = gate.run(with_online, "fleet", "upgrade", *ASKED).expect(0)
    assert states(released) == {"applied": ["tenant_1"], "online-pending": ["tenant_0"]}
    (done,) = [event for event in released.named("tenant_done") if event["tenant"] == "tenant_0"]
    assert (done["applied"], done["left"], done["remedy"]) == (["a1"], ["b2"], REMEDY)
    summary = released.one("fleet_summary")
    assert (summary["states"], summary["left"]) == ({"applied": 1, "online-pending": 1}, ["b2"])
    assert summary["remedy"] == REMEDY
    assert released.one("finished")["left"] == ["b2"]
    status = gate.run(with_online, "fleet", "status", *ASKED, "--format", "json").expect(3)
    assert json.loads(status.stdout)["states"] == {"at-head": 1, "online-pending": 1}
    text = gate.run(with_online, "fleet", "status", *ASKED).expect(3).stdout.splitlines()
    assert text[-2:] == ["straggler  tenant_0  online-pending  a1  1 pending", f"remedy     online-pending: {REMEDY}"]

    busy = database.connect("busy", autocommit=False)
    busy.execute("UPDATE tenant_0.orders SET note = note WHERE id = 1")
    online = gate.start(with_online, "fleet", "upgrade", *ASKED, "--online")
    database.until_running("%INDEX CONCURRENTLY%")
    beside = gate.run(with_online, "fleet", "upgrade", *ASKED, "--if-locked", "fail").expect(0)
    assert states(beside) == {"at-head": ["tenant_1"], "online-pending": ["tenant_0"]}
    assert beside.one("finished")["outcome"] == "left to an online run"
    busy.rollback()
    assert states(online.wait().expect(0)) == {"at-head": ["tenant_1"], "applied": ["tenant_0"]}
    assert version_of(database, "tenant_0") == ["b2"]
    gate.run(with_online, "fleet", "status", *ASKED).expect(0)


def test_what_a_release_cannot_do_without(with_online: Project, database: Database, gate: CommandLine) -> None:
    """The refusal names the fleet's own command."""
    with_online.add("c3", "CREATE TABLE c (id int)")
    make_schemas(database, ["tenant_0"])
    make_orders(database, "tenant_0")
    break_off_build(database, "tenant_0")
    failed = gate.run(with_online, "fleet", "upgrade", *ASKED).expect(50).one("tenant_failed")
    assert failed["message"].endswith(
        "do b2, or do it now, beside the application: sage-migrate fleet upgrade b2 --online. Then release this again."
    )


def test_left_in_a_database_of_its_own(with_online: Project, database: Database, gate: CommandLine) -> None:
    """It is the same with a database per tenant, also while an online run is at it."""
    asked = ("--databases", database.name)
    make_orders(database, "public")
    break_off_build(database, "public")
    expected = {"online-pending": [database.name]}
    assert states(gate.run(with_online, "fleet", "upgrade", *asked).expect(0)) == expected
    status = gate.run(with_online, "fleet", "status", *asked, "--format", "json").expect(3)
    assert json.loads(status.stdout)["states"] == {"online-pending": 1}
    busy = database.connect("busy", autocommit=False)
    busy.execute("UPDATE orders SET note = note WHERE id = 1")
    online = gate.start(with_online, "fleet", "upgrade", *asked, "--online")
    database.until_running("%INDEX CONCURRENTLY%")
    assert states(gate.run(with_online, "fleet", "upgrade", *asked, "--if-locked", "fail").expect(0)) == expected
    busy.rollback()
    assert states(online.wait().expect(0)) == {"applied": [database.name]}
