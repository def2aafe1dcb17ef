"""Conversations, through HTTP."""

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

pytestmark = pytest.mark.anyio

NO_CONVERSATION = {"detail": "There is no such conversation in this organization"}


async def create(client: httpx.AsyncClient, conversations: str, title: str) -> dict[str, Any]:
    """Create a conversation."""
    response = await client.post(conversations, json={"title": title})
    assert response.status_code == httpx.codes.CREATED, response.text
    conversation: dict[str, Any] = response.json()
    return conversation


async def titles_of_all_pages(client: httpx.AsyncClient, conversations: str, limit: int) -> list[list[str]]:
    """Follow the cursors from the first page to the last."""
    pages: list[list[str]] = []
    parameters: dict[str, str | int] = {"limit": limit}
    while True:
        response = await client.get(conversations, params=parameters)
        assert response.status_code == httpx.codes.OK, response.text
        page = response.json()
        pages.append([item["title"] for item in page["items"]])
        if page["next_cursor"] is None:
            return pages
        parameters["cursor"] = page["next_cursor"]


async def test_a_conversation_that_was_created_can_be_read(
    client: httpx.AsyncClient, organization: dict[str, Any], conversations: str
) -> None:
    """What POST returned is what GET returns, and extra_metadata comes back as it went in."""
    extra_metadata = {"channel": "email", "tags": ["a", {"b": None}], "zeros": r"\u0000", "emoji": "🙂"}
    created = await client.post(conversations, json={"title": " Hello ", "extra_metadata": extra_metadata})
    assert created.status_code == httpx.codes.CREATED
    body = created.json()
    assert body == {
        "id": body["id"],
        "org_id": organization["id"],
        "title": "Hello",
        "created_at": body["created_at"],
        "extra_metadata": extra_metadata,
    }
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None
    read = await client.get(f"{conversations}/{body['id']}")
    assert (read.status_code, read.json()) == (httpx.codes.OK, body)


async def test_extra_metadata_is_empty_unless_given(client: httpx.AsyncClient, conversations: str) -> None:
    """The default is an object of its own, not null."""
    assert (await create(client, conversations, "Hello"))["extra_metadata"] == {}


async def test_a_conversation_can_be_renamed(client: httpx.AsyncClient, conversations: str) -> None:
    """Only the title changes."""
    created = await create(client, conversations, "Before")
    renamed = await client.patch(f"{conversations}/{created['id']}", json={"title": "After"})
    assert (renamed.status_code, renamed.json()) == (httpx.codes.OK, created | {"title": "After"})
    assert (await client.get(f"{conversations}/{created['id']}")).json() == renamed.json()


async def test_a_conversation_can_be_deleted_once(client: httpx.AsyncClient, conversations: str) -> None:
    """Afterwards it is not found, by DELETE neither."""
    created = await create(client, conversations, "Hello")
    path = f"{conversations}/{created['id']}"
    deleted = await client.delete(path)
    assert (deleted.status_code, deleted.content) == (httpx.codes.NO_CONTENT, b"")
    assert (await client.get(path)).status_code == httpx.codes.NOT_FOUND
    assert (await client.delete(path)).status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_conversation_of_another_organization_is_not_found(
    client: httpx.AsyncClient, conversations: str, method: str
) -> None:
    """Nor is it changed."""
    created = await create(client, conversations, "Ours")
    other = (await client.post("/organizations", json={"name": "Other"})).json()
    response = await client.request(
        method,
        f"/organizations/{other['id']}/conversations/{created['id']}",
        json={"title": "Theirs"} if method == "PATCH" else None,
    )
    assert (response.status_code, response.json()) == (httpx.codes.NOT_FOUND, NO_CONVERSATION)
    assert (await client.get(f"{conversations}/{created['id']}")).json() == created


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_conversations_of_an_unknown_organization_are_not_found(client: httpx.AsyncClient, method: str) -> None:
    """They are not an empty list, and none can be added."""
    response = await client.request(
        method,
        f"/organizations/{uuid4()}/conversations",
        json={"title": "Hello"} if method == "POST" else None,
    )
    assert (response.status_code, response.json()) == (
        httpx.codes.NOT_FOUND,
        {"detail": "There is no such organization"},
    )


@pytest.mark.parametrize("title", ["x", "x" * 200, "ü" * 200, " " + "x" * 200])
async def test_a_title_of_up_to_200_characters_is_stored(
    client: httpx.AsyncClient, conversations: str, title: str
) -> None:
    """Characters count, not bytes; blanks around it do not."""
    assert (await create(client, conversations, title))["title"] == title.strip()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("title", ["", " \t\n", "x" * 201, "a\x00b", "\ud800", None, 7])
async def test_a_title_that_cannot_be_stored_is_refused(
    client: httpx.AsyncClient, conversations: str, title: object, method: str
) -> None:
    """The answer is 422, says where, and nothing is changed."""
    created = await create(client, conversations, "Hello")
    path = conversations if method == "POST" else f"{conversations}/{created['id']}"
    # As ASCII, because httpx cannot encode the surrogate.
    body, headers = json.dumps({"title": title}), {"Content-Type": "application/json"}
    response = await client.request(method, path, content=body, headers=headers)
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY, response.text
    assert response.json()["detail"][0]["loc"] == ["body", "title"]
    assert (await client.get(conversations)).json()["items"] == [created]


@pytest.mark.parametrize(
    "extra_metadata",
    [
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"\\ud800": 1}',
        '{"a": "\\ud800"}',
        '{"a": "' + "x" * 16_384 + '"}',
        '{"a":' * 300 + "1" + "}" * 300,
        "[]",
        "null",
        '"text"',
    ],
)
async def test_extra_metadata_that_cannot_be_stored_is_refused(
    client: httpx.AsyncClient, conversations: str, extra_metadata: str
) -> None:
    """What Python reads as JSON and PostgreSQL does not is the client's error, not ours."""
    response = await client.post(
        conversations,
        content=f'{{"title": "Hello", "extra_metadata": {extra_metadata}}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY, response.text
    assert response.json()["detail"][0]["loc"][:2] == ["body", "extra_metadata"]


async def test_an_unknown_field_is_refused(client: httpx.AsyncClient, conversations: str) -> None:
    """A misspelt field must not be lost in silence."""
    response = await client.post(conversations, json={"title": "Hello", "metadata": {"lost": True}})
    assert response.json() == {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "metadata"],
                "msg": "Extra inputs are not permitted",
            }
        ]
    }


async def test_a_huge_body_is_refused(client: httpx.AsyncClient, conversations: str) -> None:
    """It is not read to its end."""
    response = await client.post(conversations, json={"title": "x" * 100_000})
    assert response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


async def test_the_list_is_newest_first(client: httpx.AsyncClient, conversations: str) -> None:
    """And an organization without conversations has an empty one."""
    assert (await client.get(conversations)).json() == {"items": [], "next_cursor": None}
    created = [await create(client, conversations, f"{number}") for number in range(3)]
    assert (await client.get(conversations)).json() == {"items": created[::-1], "next_cursor": None}


async def test_a_list_is_of_one_organization(client: httpx.AsyncClient, conversations: str) -> None:
    """Conversations of others are not in it."""
    await create(client, conversations, "Ours")
    other = (await client.post("/organizations", json={"name": "Other"})).json()
    assert (await client.get(f"/organizations/{other['id']}/conversations")).json()["items"] == []


async def test_a_page_has_50_conversations_by_default(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    organization: dict[str, Any],
    conversations: str,
) -> None:
    """And a cursor for the rest."""
    await connection.execute(
        "INSERT INTO conversations (org_id, title) SELECT $1, n::text FROM generate_series(1, 51) AS n",
        organization["id"],
    )
    page = (await client.get(conversations)).json()
    assert len(page["items"]) == 50
    assert page["next_cursor"] is not None


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 10, 11])
async def test_paging_shows_each_conversation_once(
    client: httpx.AsyncClient,
    connection: asyncpg.Connection,
    organization: dict[str, Any],
    conversations: str,
    limit: int,
) -> None:
    """Also where many were created in the same microsecond; no page but the last is short, none is empty."""
    await connection.execute(
        "INSERT INTO conversations (org_id, title, created_at)"
        " SELECT $1, n::text, '2026-01-01T00:00:00.123456Z'::timestamptz + (n / 4) * interval '1 microsecond'"
        " FROM generate_series(1, 10) AS n",
        organization["id"],
    )
    in_order = await connection.fetch("SELECT title FROM conversations ORDER BY created_at DESC, id DESC")
    pages = await titles_of_all_pages(client, conversations, limit)
    assert [title for page in pages for title in page] == [row["title"] for row in in_order]
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert pages[-1]


async def test_paging_goes_on_where_it_was(client: httpx.AsyncClient, conversations: str) -> None:
    """Neither a newer conversation nor the deletion of the last one seen moves the next page."""
    created = [await create(client, conversations, f"{number}") for number in range(4)]
    first = (await client.get(conversations, params={"limit": 2})).json()
    await create(client, conversations, "newer")
    await client.delete(f"{conversations}/{created[2]['id']}")
    second = (await client.get(conversations, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert second == {"items": [created[1], created[0]], "next_cursor": None}


@pytest.mark.parametrize("limit", ["0", "-1", "101", "many", "9" * 30])
async def test_a_limit_out_of_bounds_is_refused(client: httpx.AsyncClient, conversations: str, limit: str) -> None:
    """The answer is 422 and says where."""
    response = await client.get(conversations, params={"limit": limit})
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert response.json()["detail"][0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize(
    "cursor", ["", "next", "A" * 31, "A" * 33, "A" * 36, "é" * 32, "\x00", "gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
)
async def test_a_cursor_that_no_page_returned_is_refused(
    client: httpx.AsyncClient, conversations: str, cursor: str
) -> None:
    """The answer is one clear 422, also for a point in time that no calendar has."""
    response = await client.get(conversations, params={"cursor": cursor})
    assert (response.status_code, response.json()) == (
        httpx.codes.UNPROCESSABLE_ENTITY,
        {
            "detail": [
                {
                    "type": "cursor",
                    "loc": ["query", "cursor"],
                    "msg": "Value is not a cursor that an earlier page returned",
                }
            ]
        },
    )
