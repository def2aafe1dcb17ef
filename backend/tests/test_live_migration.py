"""Changes of the schema that are safe for the running release cost none of its requests."""

import asyncio

import asyncpg
import httpx
import pytest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE conversations ADD COLUMN subject text NOT NULL DEFAULT ''",
        "ALTER TABLE conversations ALTER COLUMN title TYPE varchar(300)",
        "ALTER TABLE conversations ALTER COLUMN title TYPE text",
        "DROP INDEX ix_conversations_org_id_created_at_id",
    ],
)
async def test_a_safe_change_costs_no_request(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversations: str, change: str
) -> None:
    """Connections that have run the statements before run them after it."""

    async def serve() -> set[int]:
        requests = [client.get(conversations) for _ in range(8)]
        requests += [client.post(conversations, json={"title": "Hello"}) for _ in range(8)]
        return {response.status_code for response in await asyncio.gather(*requests)}

    assert await serve() == {httpx.codes.OK, httpx.codes.CREATED}
    await connection.execute(change)
    assert await serve() == {httpx.codes.OK, httpx.codes.CREATED}
