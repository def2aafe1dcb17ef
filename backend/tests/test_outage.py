"""A database that goes away and comes back: 503 meanwhile, and no restart needed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import URL

from app.main import app

pytestmark = pytest.mark.anyio

UNAVAILABLE = (httpx.codes.SERVICE_UNAVAILABLE, {"detail": "The database is unavailable"})
TERMINATE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"


@pytest.fixture
def short_statement_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement run for 0.2 seconds."""
    monkeypatch.setenv("DATABASE_STATEMENT_TIMEOUT_SECONDS", "0.2")


@asynccontextmanager
async def outage(server_url: URL, database: URL) -> AsyncIterator[None]:
    """Cut all connections to the database and refuse new ones for a while."""
    server = await asyncpg.connect(server_url.render_as_string(hide_password=False))
    await server.execute(f"ALTER DATABASE {database.database} ALLOW_CONNECTIONS false")
    await server.execute(TERMINATE, database.database)
    yield
    await server.execute(f"ALTER DATABASE {database.database} ALLOW_CONNECTIONS true")
    await server.close()


async def test_connections_that_died_in_the_pool_are_replaced(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    conversations: str,
    application_pids: Callable[..., Awaitable[list[int]]],
) -> None:
    """As after a failover: the next request works, none fails first."""
    await client.get(conversations)
    before = await application_pids()
    assert before
    for pid in before:
        await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    assert (await client.get(conversations)).status_code == httpx.codes.OK
    assert not set(before) & set(await application_pids())


async def test_an_outage_ends_by_itself(
    client: httpx.AsyncClient, conversations: str, server_url: URL, database: URL
) -> None:
    """Requests get a 503 while it lasts and are served after it."""
    async with outage(server_url, database):
        response = await client.get(conversations)
        assert (response.status_code, response.json()) == UNAVAILABLE
        response = await client.post(conversations, json={"title": "Hello"})
        assert (response.status_code, response.json()) == UNAVAILABLE
    assert (await client.get(conversations)).json()["items"] == []


async def test_an_outage_does_not_unready_a_pod(client: httpx.AsyncClient, server_url: URL, database: URL) -> None:
    """What /readyz has shown once stays shown, and /healthz never asks the database."""
    assert (await client.get("/readyz")).status_code == httpx.codes.OK
    async with outage(server_url, database):
        assert (await client.get("/readyz")).json() == {"status": "ready", "reason": None}
        assert (await client.get("/healthz")).json() == {"status": "ok", "reason": None}


async def test_a_pod_that_starts_in_an_outage_gets_ready_after_it(
    client: httpx.AsyncClient, server_url: URL, database: URL
) -> None:
    """It says meanwhile why it is not."""
    async with outage(server_url, database):
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (
            httpx.codes.SERVICE_UNAVAILABLE,
            {"status": "unready", "reason": "The database is unavailable"},
        )
        assert (await client.get("/healthz")).status_code == httpx.codes.OK
    assert (await client.get("/readyz")).status_code == httpx.codes.OK


@pytest.mark.usefixtures("database")
async def test_a_server_that_nobody_runs_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts, is alive, and answers 503."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        assert (await client.get("/healthz")).status_code == httpx.codes.OK
        assert (await client.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        response = await client.post("/organizations", json={"name": "Acme"})
        assert (response.status_code, response.json()) == UNAVAILABLE


async def test_a_connection_lost_in_the_middle_costs_one_request(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    conversations: str,
    application_pids: Callable[..., Awaitable[list[int]]],
    eventually: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]],
) -> None:
    """It gets a 503 and the next one is served."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        request = asyncio.create_task(client.get(conversations))
        await eventually(lambda: application_pids(waiting=True))
        (pid,) = await application_pids(waiting=True)
        await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        response = await request
    assert (response.status_code, response.json()) == UNAVAILABLE
    assert (await client.get(conversations)).status_code == httpx.codes.OK


@pytest.mark.usefixtures("short_statement_timeout")
async def test_a_statement_that_takes_too_long_is_given_up(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversations: str
) -> None:
    """It gets a 503, and its connection serves on."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
        response = await client.get(conversations)
    assert (response.status_code, response.json()) == UNAVAILABLE
    assert (await client.get(conversations)).status_code == httpx.codes.OK


async def test_an_exhausted_pool_is_an_outage(
    service: FastAPI, client: httpx.AsyncClient, conversations: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that gets no connection in time is told so."""
    monkeypatch.setattr(service.state.engine.sync_engine.pool, "_timeout", 0.05)
    held = [await service.state.engine.connect() for _ in range(9)]
    response = await client.get(conversations)
    assert (response.status_code, response.json()) == UNAVAILABLE
    for connection in held:
        await connection.close()
    assert (await client.get(conversations)).status_code == httpx.codes.OK
