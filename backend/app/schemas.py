"""What comes in over HTTP, and what goes out."""

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

MAX_EXTRA_METADATA_BYTES = 16_384


def _require_storable(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON in Python may hold and JSONB may not."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    if len(text.encode()) > MAX_EXTRA_METADATA_BYTES:
        msg = f"must not be longer than {MAX_EXTRA_METADATA_BYTES} bytes of JSON"
        raise ValueError(msg)
    if "\\u0000" in text.replace(r"\\", ""):
        msg = r"must not contain the character \u0000"
        raise ValueError(msg)
    return value


Title = Annotated[
    str,
    # PostgreSQL's text cannot hold NUL.
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"),
]
ExtraMetadata = Annotated[
    dict[str, JsonValue],
    AfterValidator(_require_storable),
    Field(description="Anything else that is known about it; stored as it is.", examples=[{"channel": "email"}]),
]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Output(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class OrganizationCreate(_Input):
    """A new organization."""

    name: Title = Field(description="Shown to people.", examples=["Acme"])


class OrganizationRead(_Output):
    """An organization."""

    id: UUID
    name: str
    created_at: datetime


class ConversationCreate(_Input):
    """A new conversation."""

    title: Title = Field(description="Shown to people.", examples=["Invoice 1042"])
    extra_metadata: ExtraMetadata = {}


class ConversationRename(_Input):
    """Another title for a conversation."""

    title: Title = Field(description="Shown to people.", examples=["Invoice 1042, paid"])


class ConversationRead(_Output):
    """A conversation."""

    id: UUID
    org_id: UUID
    title: str
    created_at: datetime
    extra_metadata: dict[str, JsonValue]


class ConversationPage(BaseModel):
    """A page of conversations, newest first."""

    items: list[ConversationRead]
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null on the last one.")


class ErrorDetail(BaseModel):
    """What went wrong."""

    detail: str


class Health(BaseModel):
    """The state of this process."""

    status: str = Field(examples=["ok"])
    reason: str | None = Field(default=None, description="Why it is not ready.")
