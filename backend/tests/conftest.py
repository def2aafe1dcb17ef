"""Fixtures: a PostgreSQL server, a migrated database for each test, and the application on top of it."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from sage_migrate.scratch_server import ScratchServer
from sqlalchemy import URL, make_url

from app.main import app

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"
# With its process id, because test processes may share a server.
TEMPLATE = f"test_template_{os.getpid()}"


def _execute(url: URL, *statements: str) -> list[asyncpg.Record]:
    """Run statements on a connection of their own, one transaction each; return the last one's rows."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url.render_as_string(hide_password=False))
        try:
            rows: list[asyncpg.Record] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as uvicorn does."""
    return "asyncio"


@pytest.fixture(scope="session")
def execute() -> Callable[..., list[asyncpg.Record]]:
    """Give a function that runs SQL on a database."""
    return _execute


@pytest.fixture(scope="session")
def server_url() -> Iterator[URL]:
    """Give the server that SAGE_TEST_DATABASE_URL names, or one of our own for the time of the tests."""
    if given := os.environ.get("SAGE_TEST_DATABASE_URL"):
        yield make_url(given).set(drivername="postgresql")
        return
    with ScratchServer() as server:
        yield make_url(server.url())


@pytest.fixture(scope="session")
def template(server_url: URL) -> Iterator[str]:
    """Give the name of a database that was migrated with Alembic once; tests get copies of it."""
    _execute(server_url, f"CREATE DATABASE {TEMPLATE}")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", _spell(server_url.set(database=TEMPLATE)))
        command.upgrade(Config(ALEMBIC_INI), "head")
    yield TEMPLATE
    _execute(server_url, f"DROP DATABASE {TEMPLATE}")


_numbers = itertools.count()


@pytest.fixture
def empty_database(server_url: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """Give a database without tables; DATABASE_URL names it."""
    yield from _database(server_url, "template1", monkeypatch)


@pytest.fixture
def database(server_url: URL, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """Give a migrated database without rows; DATABASE_URL names it."""
    yield from _database(server_url, template, monkeypatch)


def _database(server_url: URL, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = server_url.set(database=name)
    monkeypatch.setenv("DATABASE_URL", _spell(url))
    yield url
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _spell(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def alembic_config() -> Config:
    """Give Alembic's configuration as the command line reads it."""
    return Config(ALEMBIC_INI)


@pytest.fixture
async def service(database: URL) -> AsyncIterator[FastAPI]:
    """Give the application, started on a migrated database."""
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(service: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Give an HTTP client of the application that gets a 500 as a client would, not as an exception."""
    transport = httpx.ASGITransport(service, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def connection(database: URL) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection of the test's own to the application's database."""
    connection = await asyncpg.connect(_spell(database), server_settings={"application_name": "test"})
    yield connection
    await connection.close()


@pytest.fixture
async def organization(client: httpx.AsyncClient) -> dict[str, Any]:
    """Give an organization."""
    response = await client.post("/organizations", json={"name": "Acme"})
    assert response.status_code == httpx.codes.CREATED, response.text
    organization: dict[str, Any] = response.json()
    return organization


@pytest.fixture
def conversations(organization: dict[str, Any]) -> str:
    """Give the path of the organization's conversations."""
    return f"/organizations/{organization['id']}/conversations"


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]:
    """Give a function that waits for a state to be reached, and fails where it is not within 10 seconds."""

    async def wait(reached: Callable[[], Awaitable[object]]) -> None:
        async with asyncio.timeout(10):
            while not await reached():  # noqa: ASYNC110 - the state is another process's
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
async def application_pids(database: URL) -> AsyncIterator[Callable[..., Awaitable[list[int]]]]:
    """Give a function that lists the application's connections (process ids), or those waiting for a lock."""
    # A connection of its own, because a transaction sees pg_stat_activity as it was when it looked first.
    observer = await asyncpg.connect(_spell(database))

    async def pids(*, waiting: bool = False) -> list[int]:
        rows = await observer.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND application_name <> 'test' AND (NOT $1 OR wait_event_type = 'Lock')",
            waiting,
        )
        return [row["pid"] for row in rows]

    yield pids
    await observer.close()
