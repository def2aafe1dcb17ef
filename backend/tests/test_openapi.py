"""The description of the API that clients are generated from."""

from typing import Any

import httpx
import pytest

from app.main import app

OPERATIONS = [
    (path, method, operation)
    for path, methods in app.openapi()["paths"].items()
    for method, operation in methods.items()
]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_operation_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    """It has a summary, a description, a tag, and says when it answers 404."""
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert ("404" in operation["responses"]) == ("{" in path), method


def test_operations_have_names_of_their_own() -> None:
    """They become the methods of generated clients."""
    assert sorted(operation["operationId"] for _, _, operation in OPERATIONS) == [
        "create_conversation",
        "create_organization",
        "delete_conversation",
        "get_conversation",
        "get_organization",
        "healthz",
        "list_conversations",
        "readyz",
        "rename_conversation",
    ]


def test_bounds_are_described() -> None:
    """Of the title and of the page."""
    schema = app.openapi()
    title = schema["components"]["schemas"]["ConversationCreate"]["properties"]["title"]
    assert (title["minLength"], title["maxLength"]) == (1, 200)
    parameters = schema["paths"]["/organizations/{org_id}/conversations"]["get"]["parameters"]
    (limit,) = (parameter["schema"] for parameter in parameters if parameter["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 50)


@pytest.mark.anyio
async def test_the_description_is_served(client: httpx.AsyncClient) -> None:
    """As JSON, and as a page to try it on."""
    assert (await client.get("/openapi.json")).json() == app.openapi()
    assert (await client.get("/docs")).status_code == httpx.codes.OK
