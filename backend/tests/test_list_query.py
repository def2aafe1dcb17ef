"""The list of an organization's conversations reads no more than the page, by its index."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, event

from app.pagination import Cursor
from app.repositories.conversations import ConversationRepo

pytestmark = pytest.mark.anyio

Parameters = tuple[object, ...]

LIMIT = 50
# Enough that a plan which reads an organization's conversations to sort them costs more.
ROWS = 20_000


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk the nodes of a plan, the topmost first."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes_of(child)


@pytest.mark.parametrize(
    "after",
    [None, Cursor(created_at=datetime(2026, 1, 1, 1, tzinfo=UTC), id=UUID(int=0))],
    ids=["first page", "later page"],
)
async def test_the_list_reads_one_page_of_the_index(
    service: FastAPI, connection: asyncpg.Connection, after: Cursor | None
) -> None:
    """No sort, and no row that is not returned: the cost of a page does not grow with the organization."""
    org_ids = [
        row["id"] for row in await connection.fetch("INSERT INTO organizations (name) VALUES ('a'), ('b') RETURNING id")
    ]
    await connection.execute(
        "INSERT INTO conversations (org_id, title, created_at)"
        " SELECT ($1::uuid[])[n % 2 + 1], n::text, '2026-01-01Z'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, $2::int) AS n",
        org_ids,
        ROWS,
    )
    await connection.execute("VACUUM ANALYZE conversations")

    issued: list[tuple[str, Parameters]] = []

    def record(_connection: Connection, _cursor: object, sql: str, parameters: Parameters, *_: object) -> None:
        issued.append((sql, parameters))

    engine = service.state.engine
    event.listen(engine.sync_engine, "before_cursor_execute", record)
    async with service.state.sessions() as session:
        listed = await ConversationRepo(session).list_for_org(org_ids[0], LIMIT, after=after)
    event.remove(engine.sync_engine, "before_cursor_execute", record)
    assert len(listed) == LIMIT

    ((statement, parameters),) = issued
    async with engine.connect() as explaining:
        answer = await explaining.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        (explained,) = answer.scalar_one()
        text = json.dumps(explained, indent=1)
    scans = [node for node in nodes_of(explained["Plan"]) if "Relation Name" in node]
    assert [node["Node Type"] for node in nodes_of(explained["Plan"])] == ["Limit", "Index Scan"], text
    (scan,) = scans
    assert scan["Index Name"] == "ix_conversations_org_id_created_at_id", text
    assert scan["Scan Direction"] == "Backward", text
    assert scan["Actual Rows"] == LIMIT, text
    assert "Rows Removed by Filter" not in scan, text
    assert ("ROW(created_at, id) <" in scan.get("Index Cond", "")) == (after is not None), text
