"""Organizations, through HTTP."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_an_organization_that_was_created_can_be_read(client: httpx.AsyncClient) -> None:
    """What POST returned is what GET returns."""
    created = await client.post("/organizations", json={"name": " Acme "})
    assert created.status_code == httpx.codes.CREATED
    body: dict[str, Any] = created.json()
    assert body["name"] == "Acme"
    assert UUID(body["id"])
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None
    read = await client.get(f"/organizations/{body['id']}")
    assert (read.status_code, read.json()) == (httpx.codes.OK, body)


async def test_an_unknown_organization_is_not_found(client: httpx.AsyncClient) -> None:
    """A key that nobody has is a 404."""
    response = await client.get(f"/organizations/{uuid4()}")
    assert (response.status_code, response.json()) == (
        httpx.codes.NOT_FOUND,
        {"detail": "There is no such organization"},
    )


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b", None, 7])
async def test_a_name_that_cannot_be_stored_is_refused(client: httpx.AsyncClient, name: object) -> None:
    """The answer is 422 and says where."""
    response = await client.post("/organizations", json={"name": name})
    assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert response.json()["detail"][0]["loc"] == ["body", "name"]
