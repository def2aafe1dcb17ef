"""What a client sees when a pod leaves: nothing."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import URL

pytestmark = pytest.mark.anyio

BACKEND = Path(__file__).resolve().parent.parent
# A drain that a busy machine has time to look into before it ends.
SEEN_WHOLE = 5
Eventually = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A real uvicorn, started as the image starts it."""

    process: asyncio.subprocess.Process
    url: str

    def terminate(self) -> None:
        """Do what Kubernetes does to a pod."""
        self.process.send_signal(signal.SIGTERM)


@asynccontextmanager
async def running(drain_seconds: float) -> AsyncIterator[Server]:
    """Run the service for a while."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", "0"),
        cwd=BACKEND,
        env=os.environ | {"DRAIN_SECONDS": str(drain_seconds)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        url = ""
        while not url:
            line = (await process.stderr.readline()).decode()
            assert line, "uvicorn ended before it served"
            if found := re.search(r"running on (http://\S+)", line):
                url = found[1]
        yield Server(process=process, url=url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.usefixtures("database")
async def test_a_pod_that_leaves_serves_until_load_balancers_have_turned_away(eventually: Eventually) -> None:
    """New connections are accepted for a while; each answer closes its own, so that none is cut off."""
    async with running(drain_seconds=SEEN_WHOLE) as server, httpx.AsyncClient(base_url=server.url) as client:
        response = await client.get("/readyz")
        assert (response.status_code, "connection" in response.headers) == (httpx.codes.OK, False)
        server.terminate()

        async def draining() -> bool:
            return (await client.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE

        await eventually(draining)
        response = await client.post("/organizations", json={"name": "Acme"})
        assert (response.status_code, response.headers["connection"]) == (httpx.codes.CREATED, "close")
        assert (await client.get("/healthz")).status_code == httpx.codes.OK
        assert await server.process.wait() == -signal.SIGTERM
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")


@pytest.mark.usefixtures("database")
async def test_clients_that_keep_their_connections_see_no_failure() -> None:
    """Under load from before SIGTERM to the end of the drain, every request is answered."""
    async with running(drain_seconds=SEEN_WHOLE) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            org_id = (await client.post("/organizations", json={"name": "Acme"})).json()["id"]
        path = f"/organizations/{org_id}/conversations"
        loop = asyncio.get_running_loop()
        # A load balancer has turned away before the drain ends.
        end = loop.time() + 1.3

        async def use() -> list[int]:
            statuses: list[int] = []
            async with httpx.AsyncClient(base_url=server.url) as client:
                while loop.time() < end:
                    statuses.append((await client.post(path, json={"title": "Hello"})).status_code)
                    statuses.append((await client.get(path)).status_code)
            return statuses

        users = [asyncio.create_task(use()) for _ in range(4)]
        await asyncio.sleep(0.5)
        server.terminate()
        statuses = [status for user in users for status in await user]
        assert set(statuses) == {httpx.codes.CREATED, httpx.codes.OK}
        assert await server.process.wait() == -signal.SIGTERM


async def test_a_request_in_flight_is_finished(
    connection: asyncpg.Connection,
    application_pids: Callable[..., Awaitable[list[int]]],
    eventually: Eventually,
    database: URL,
) -> None:
    """Also one that takes longer than the drain; then the pool is closed and the process ends."""
    assert database.database
    async with running(drain_seconds=0) as server, httpx.AsyncClient(base_url=server.url) as client:
        async with connection.transaction():
            await connection.execute("LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE")
            request = asyncio.create_task(client.post("/organizations", json={"name": "Acme"}))
            await eventually(lambda: application_pids(waiting=True))
            server.terminate()

            async def refused() -> bool:
                try:
                    await httpx.AsyncClient(base_url=server.url).get("/healthz")
                except httpx.ConnectError:
                    return True
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    return False  # it stood in the listen backlog when the socket was closed
                return False

            await eventually(refused)
            assert not request.done()
        response = await request
        assert response.status_code == httpx.codes.CREATED
        assert await server.process.wait() == -signal.SIGTERM

    async def disconnected() -> bool:
        return await application_pids() == []

    await eventually(disconnected)


@pytest.mark.usefixtures("database")
async def test_a_second_signal_ends_the_drain(eventually: Eventually) -> None:
    """A person who presses on does not have to wait."""
    async with running(drain_seconds=600) as server, httpx.AsyncClient(base_url=server.url) as client:
        server.terminate()

        async def draining() -> bool:
            return (await client.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE

        await eventually(draining)
        server.terminate()
        assert await asyncio.wait_for(server.process.wait(), 10) == -signal.SIGTERM
