"""Conversations of an organization over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query, status
from fastapi.exceptions import RequestValidationError

from app.database import Session
from app.models import Conversation
from app.pagination import Cursor
from app.repositories.conversations import ConversationRepo
from app.routes.organizations import ExistingOrganization
from app.schemas import (
    ConversationCreate,
    ConversationPage,
    ConversationRead,
    ConversationRename,
    ErrorDetail,
)

router = APIRouter(
    prefix="/organizations/{org_id}/conversations",
    tags=["conversations"],
    responses={
        status.HTTP_404_NOT_FOUND: {
            "model": ErrorDetail,
            "description": "No such organization, or no such conversation in it",
        }
    },
)


def conversation_repo(session: Session) -> ConversationRepo:
    """Give a request its repository."""
    return ConversationRepo(session)


def page_cursor(
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the previous page; leave it out for the first.")
    ] = None,
) -> Cursor | None:
    """Return the cursor of the query string, or answer 422 as for any other parameter."""
    if cursor is None:
        return None
    try:
        return Cursor.parse(cursor)
    except ValueError as error:
        detail = {"type": "cursor", "loc": ("query", "cursor"), "msg": f"Value is {error}"}
        raise RequestValidationError([detail]) from error


Conversations = Annotated[ConversationRepo, Depends(conversation_repo)]
PageLimit = Annotated[int, Query(ge=1, le=100, description="How many to return at most.")]


@router.get("")
async def list_conversations(
    organization: ExistingOrganization,
    conversations: Conversations,
    after: Annotated[Cursor | None, Depends(page_cursor)],
    limit: PageLimit = 50,
) -> ConversationPage:
    """List conversations, newest first."""
    # One more than asked for tells whether there is a next page.
    found = await conversations.list_for_org(organization.id, limit + 1, after=after)
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return ConversationPage(
        items=[ConversationRead.model_validate(conversation) for conversation in page],
        next_cursor=str(Cursor(created_at=last.created_at, id=last.id)) if last else None,
    )


@router.post("", status_code=status.HTTP_201_CREATED, response_model=ConversationRead)
async def create_conversation(
    organization: ExistingOrganization, body: ConversationCreate, conversations: Conversations
) -> Conversation:
    """Create a conversation."""
    return await conversations.create(organization.id, body.title, body.extra_metadata)


@router.get("/{conversation_id}", response_model=ConversationRead)
async def get_conversation(org_id: UUID, conversation_id: UUID, conversations: Conversations) -> Conversation:
    """Return a conversation."""
    return _found(await conversations.get(org_id, conversation_id))


@router.patch("/{conversation_id}", response_model=ConversationRead)
async def rename_conversation(
    org_id: UUID, conversation_id: UUID, body: ConversationRename, conversations: Conversations
) -> Conversation:
    """Give a conversation another title."""
    return _found(await conversations.rename(org_id, conversation_id, body.title))


@router.delete("/{conversation_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_conversation(org_id: UUID, conversation_id: UUID, conversations: Conversations) -> None:
    """Delete a conversation."""
    if not await conversations.delete(org_id, conversation_id):
        _found(None)


def _found(conversation: Conversation | None) -> Conversation:
    if conversation is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such conversation in this organization")
    return conversation
