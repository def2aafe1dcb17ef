"""The sample with the code that one release of a recipe has: each request runs the statements that docs/recipes.md shows."""

import json
import random
from pathlib import Path
from typing import Any

from app.database import Session  # type: ignore[import-not-found]  # the sample's: this is a module of its package there
from app.sample import app  # type: ignore[import-not-found]
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import text

RELEASE: dict[str, Any] = json.loads(Path(__file__).with_name("release.json").read_text(encoding="utf-8"))
router = APIRouter()


class Thing(BaseModel):
    """A row of the recipe's table, as clients see it."""

    title: str


@router.post("/things")
async def make_thing(body: Thing, session: Session) -> dict[str, int]:
    """Make a row, in as many statements as it takes."""
    given: dict[str, Any] = {"text": body.title}
    for statement in RELEASE["make"]:
        done = await session.execute(text(statement), given)
        if done.returns_rows:
            given["id"] = done.scalar_one()
    return {"id": given["id"]}


@router.patch("/things/{thing_id}")
async def change_thing(thing_id: int, body: Thing, session: Session) -> Thing:
    """Change a row."""
    done = await session.execute(text(RELEASE["change"]), {"id": thing_id, "text": body.title})
    if done.rowcount != 1:
        raise HTTPException(404, f"{done.rowcount} rows")
    return body


@router.get("/things/{thing_id}")
async def get_thing(thing_id: int, session: Session) -> Thing:
    """Read a row."""
    return Thing(title=(await session.execute(text(RELEASE["read"]), {"id": thing_id})).scalar_one())


@router.get("/things")
async def get_old_thing(session: Session) -> Thing:
    """Read any of the rows that were there before, which nobody has changed."""
    thing_id = random.randint(1, RELEASE["rows"])
    thing = await get_thing(thing_id, session)
    if thing.title != f"text {thing_id}":
        raise HTTPException(500, f"{thing_id} is {thing.title}")
    return thing


app.include_router(router)
