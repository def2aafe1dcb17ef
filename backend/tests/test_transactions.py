"""One transaction a request: committed before the answer leaves, or rolled back."""

from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event
from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

# A deferred constraint is the way in which PostgreSQL itself refuses a COMMIT.
FAIL_AT_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER INSERT OR UPDATE OR DELETE ON conversations
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_failed_commit_is_no_success(
    client: httpx.AsyncClient, connection: asyncpg.Connection, conversations: str, method: str
) -> None:
    """The client gets a 500, and finds everything as it was."""
    created = (await client.post(conversations, json={"title": "Before"})).json()
    await connection.execute(FAIL_AT_COMMIT)
    response = await client.request(
        method,
        conversations if method == "POST" else f"{conversations}/{created['id']}",
        json=None if method == "DELETE" else {"title": "After"},
    )
    assert (response.status_code, response.text) == (
        httpx.codes.INTERNAL_SERVER_ERROR,
        "Internal Server Error",
    )
    assert (await client.get(conversations)).json()["items"] == [created]


async def test_the_row_is_there_before_the_answer(
    service: FastAPI, connection: asyncpg.Connection, conversations: str
) -> None:
    """Another connection sees the row at the moment when the first byte of the answer is sent."""
    seen: list[int] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def look_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(await connection.fetchval("SELECT count(*) FROM conversations"))
            await send(message)

        await service(scope, receive, look_and_send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(watched), base_url="http://test") as client:
        response = await client.post(conversations, json={"title": "Hello"})
    assert (response.status_code, seen) == (httpx.codes.CREATED, [1])


@pytest.mark.parametrize(
    ("title", "expected"), [("Hello", ["commit"]), ("", ["rollback"])], ids=["a good title", "a blank title"]
)
async def test_a_request_has_one_transaction(
    service: FastAPI, client: httpx.AsyncClient, conversations: str, title: str, expected: list[str]
) -> None:
    """Checking the organization and adding the row happen in the same one."""
    ends: list[str] = []
    for name in ("commit", "rollback"):
        event.listen(service.state.engine.sync_engine, name, lambda _connection, name=name: ends.append(name))
    await client.post(conversations, json={"title": title})
    assert ends == expected


async def test_a_request_that_is_not_found_is_rolled_back(
    service: FastAPI, client: httpx.AsyncClient, conversations: str
) -> None:
    """An HTTP error is an error: what the route did before it is undone."""
    ends: list[str] = []
    for name in ("commit", "rollback"):
        event.listen(service.state.engine.sync_engine, name, lambda _connection, name=name: ends.append(name))
    response = await client.delete(f"{conversations}/{uuid4()}")
    assert (response.status_code, ends) == (httpx.codes.NOT_FOUND, ["rollback"])
