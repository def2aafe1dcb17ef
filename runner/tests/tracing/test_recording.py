"""Statements recorded while a release's tests run, and said again by a trace."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from harness.command import Outcome
from harness.postgres import Database
from harness.project import Project

_APPLICATION = """
import sqlalchemy as sa

orders = sa.table("orders", sa.column("id", sa.Integer), sa.column("status", sa.String), sa.column("total", sa.Integer))


def find(connection, *totals):
    return connection.execute(sa.select(orders.c.id).where(orders.c.total.in_(totals), orders.c.status != "100%")).all()


def raw(connection):
    return connection.execute(sa.text("SELECT count(*) FROM orders WHERE status LIKE 'a%' AND id = :id OR id = :id"), {"id": 1}).scalar()


def add(connection, *rows):
    connection.execute(sa.insert(orders), list(rows))
"""
_TESTS = """
import asyncio
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
import application

URL = {url!r}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sync(driver):
    engine = sa.create_engine(URL.replace("postgresql", "postgresql+" + driver))
    with engine.begin() as connection:
        application.find(connection, 1)
        application.find(connection, 1, 2, 3)
        application.raw(connection)
        application.add(connection, {{"status": "secret", "total": 1}}, {{"status": "secret", "total": 2}})
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS other (id int)"))
    engine.dispose()


def test_async():
    async def run():
        engine = create_async_engine(URL.replace("postgresql", "postgresql+asyncpg"))
        async with engine.begin() as connection:
            await connection.run_sync(lambda connection: application.find(connection, 4, 5))
            await connection.execute(sa.text("SELECT 1 FROM orders WHERE id = :id"), {{"id": 1}})
        await engine.dispose()
    asyncio.run(run())
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_suite_is_recorded_and_said_again(
    trace: Callable[..., Outcome], shop: Project, database: Database, workers: tuple[str, ...]
) -> None:
    """Whatever the driver: each shape once, with PostgreSQL's parameters, the line that sent it, and none of the values."""
    database.execute("CREATE TABLE orders (id serial PRIMARY KEY, status text NOT NULL, total int)")
    shop.write("application.py", _APPLICATION)
    shop.write("test_application.py", _TESTS.format(url=database.url()))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--record-statements",
        "recorded/old.json",
        *workers,
    ]
    done = subprocess.run(command, cwd=shop.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (shop.directory / "recorded" / "old.json").read_text()
    assert "secret" not in text
    found = {each["query"].replace("\n", ""): each["source"] for each in json.loads(text)}
    find = "SELECT orders.id FROM orders WHERE orders.total IN ($1::INTEGER) AND orders.status != $2::VARCHAR"
    assert found[find] == "application.py:7"
    assert found["SELECT count(*) FROM orders WHERE status LIKE 'a%' AND id = $1 OR id = $1"] == "application.py:11"
    assert found["SELECT 1 FROM orders WHERE id = $1"] == "test_application.py:27"
    assert {source for query, source in found.items() if "INSERT" in query} == {"application.py:15"}
    assert not any("CREATE" in query for query in found)
    if workers:
        return
    shop.add("b2", "ALTER TABLE orders RENAME total TO sum", downgrade="ALTER TABLE orders RENAME sum TO total")
    answer = trace("a1:", "--old-statements", "recorded/old.json").expect(1).stdout
    assert f"old code, application.py:7: column orders.total does not exist: {find}" in answer.replace(" \n", " ")
