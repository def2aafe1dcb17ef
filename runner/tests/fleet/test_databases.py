"""A database for each tenant, or an argument of env.py, and where the list of them comes from."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness.command import CommandLine
from harness.env_files import SYNC
from harness.postgres import Database
from harness.project import Project
from sage_migrate.scratch_server import scratch_server

from fleet.schemas import add_orders, make_schemas, states, version_of

# As Alembic's cookbook has it: https://alembic.sqlalchemy.org/en/latest/cookbook.html#rudimental-schema-level-multi-tenancy
BY_ARGUMENT = SYNC.replace(
    "        context.configure(connection=connection, target_metadata=target_metadata)\n",
    """
        tenant = context.get_x_argument(as_dictionary=True)["tenant"]
        connection.execute(text(f'SET search_path TO "{tenant}"'))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        context.configure(connection=connection, target_metadata=target_metadata)
""",
)
# A module of the application that reads the environment once.
BY_MODULE = SYNC.replace(
    "    section = config.get_section(config.config_ini_section)\n",
    "    import application\n    section = {'sqlalchemy.url': application.URL}\n",
)
APPLICATION = """
import os

URL = os.environ["DATABASE_URL"]
"""


@pytest.fixture
def databases(database: Database) -> Iterator[list[Database]]:
    """Make a database for each of four tenants."""
    made = [Database(database.server, f"{database.name}_shop_{number}") for number in range(4)]
    yield made
    for each in made:
        each.drop()


def test_each_database_is_upgraded(
    project: Project, database: Database, databases: list[Database], gate: CommandLine
) -> None:
    """Under its own lock, guard and fast path; one that is broken hides no other."""
    add_orders(project)
    databases[2].execute("CREATE TABLE items (id int)")
    names = [each.name for each in databases]
    command = ("fleet", "upgrade", "--databases", f"{database.name}\\_shop%", "--concurrency", "2")
    outcome = gate.run(project, *command).expect(50)
    assert states(outcome) == {"failed": [names[2]], "applied": [names[0], names[1], names[3]]}
    databases[2].execute("DROP TABLE items")
    assert states(gate.run(project, *command).expect(0)) == {
        "applied": [names[2]],
        "at-head": [names[0], names[1], names[3]],
    }
    assert [each.version() for each in databases] == [["c3"]] * 4
    assert not database.has("orders")
    status = gate.run(project, "fleet", "status", *command[2:4], "--format", "json").expect(0)
    assert json.loads(status.stdout)["states"] == {"at-head": 4}


def test_url_of_each_from_a_file_a_query_and_a_command(
    project: Project, database: Database, databases: list[Database], gate: CommandLine, tmp_path: Path
) -> None:
    """A name and a URL, which may lead to any server; no URL's password is ever told."""
    add_orders(project)
    listed = tmp_path / "tenants"
    listed.write_text("".join(f"shop {number}  {each.url()}\n" for number, each in enumerate(databases)))
    first = gate.run(project, "fleet", "upgrade", "a1", "--tenants-file", str(listed)).expect(0)
    assert states(first) == {"applied": [f"shop {number}" for number in range(4)]}
    printing = f"{sys.executable} -c \"print(open('{listed}').read())\""
    gate.run(project, "fleet", "upgrade", "b2", "--tenants-command", printing).expect(0)
    database.execute("CREATE TABLE tenants (name text, url text)")
    rows = ", ".join(f"('shop {number}', '{each.url()}')" for number, each in enumerate(databases))
    database.execute(f"INSERT INTO tenants VALUES {rows}, ('gone', '{database.url()}_nowhere')")
    last = gate.run(project, "fleet", "upgrade", "--tenants-query", "SELECT name, url FROM tenants").expect(50)
    assert states(last) == {"applied": [f"shop {number}" for number in range(4)], "failed": ["gone"]}
    assert last.one("tenant_failed")["exit_status"] == 11
    assert [each.version() for each in databases] == [["c3"]] * 4


def test_env_that_read_its_url_once_gets_a_process_for_each(
    tmp_path: Path, database: Database, databases: list[Database], gate: CommandLine
) -> None:
    """Settings of the application that are made when they are imported meet one tenant alone."""
    project = Project(tmp_path / "module", BY_MODULE)
    project.write(
        "application.py",
        APPLICATION.replace('DATABASE_URL"]', "DATABASE_URL\"].replace('postgresql:', 'postgresql+psycopg2:')"),
    )
    add_orders(project)
    command = ("fleet", "upgrade", "--databases", f"{database.name}\\_shop%", "--fast-path", "off")
    gate.run(project, *command, "--concurrency", "2").expect(0)
    assert [each.version() for each in databases] == [["c3"]] * 4


def test_env_that_knows_tenants_is_given_each(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """As ``alembic -x tenant=NAME upgrade head`` does; two tenants of a database are upgraded at a time."""
    project = Project(tmp_path / "argument", BY_ARGUMENT)
    add_orders(project)
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(6)])
    database.execute("CREATE TABLE tenant_4.orders (id int)")
    names = (
        "fleet",
        "upgrade",
        "--tenants-query",
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant%' ORDER BY 1",
    )
    outcome = gate.run(project, *names, "--tenant-is", "argument", "--concurrency", "2").expect(50)
    assert states(outcome) == {"failed": ["tenant_4"], "applied": [each for each in tenants if each != "tenant_4"]}
    assert {tuple(version_of(database, each)) for each in tenants if each != "tenant_4"} == {("c3",)}
    database.execute("DROP TABLE tenant_4.orders")
    again = gate.run(project, *names, "--tenant-is", "argument").expect(0)
    assert states(again)["applied"] == ["tenant_4"]


def test_fifty_databases_of_one_server(project: Project, database: Database, gate: CommandLine) -> None:
    """Some at a time, each with its own result, one that is broken among them; what is at head is found without env.py."""
    project.add("a1", "CREATE TABLE orders (id int)")
    names = [f"{database.name}_many_{number:02}" for number in range(50)]
    for name in names:
        database.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(database.server.url(names[17]), autocommit=True) as broken:
        broken.execute("CREATE TABLE orders (id text)")
    command = ("fleet", "upgrade", "--databases")
    try:
        outcome = gate.run(project, *command, f"{database.name}\\_many%").expect(50)
        assert states(outcome) == {"failed": [names[17]], "applied": sorted(set(names) - {names[17]})}
        assert outcome.one("fleet_summary")["tenants"] == 50
        with psycopg.connect(database.server.url(names[17]), autocommit=True) as broken:
            broken.execute("DROP TABLE orders")
        again = gate.run(project, *command, f"{database.name}\\_many\\_1%").expect(0)
        assert states(again) == {"applied": [names[17]], "at-head": sorted(set(names[10:20]) - {names[17]})}
    finally:
        for name in names:
            database.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_server_for_each_tenant(project: Project, database: Database, gate: CommandLine, tmp_path: Path) -> None:
    """Each is locked, guarded and bounded on its own server; one whose server is not there hides no other."""
    add_orders(project)
    with scratch_server() as second:
        elsewhere = Database(second, "shop")
        second_url, nowhere = elsewhere.url(), elsewhere.url(port=1)
        listed = tmp_path / "tenants"
        listed.write_text(f"here {database.url()}\nthere {second_url}\nnowhere {nowhere}\n")
        command = ("fleet", "upgrade", "--tenants-file", str(listed), "--slots", "1", "--wait-timeout", "1s")
        outcome = gate.run(project, *command, "--concurrency", "2").expect(50)
        assert states(outcome) == {"applied": ["here", "there"], "failed": ["nowhere"]}
        assert outcome.one("tenant_failed")["exit_status"] == 10
        assert (database.version(), elsewhere.version()) == (["c3"], ["c3"])
        elsewhere.drop()
