"""Statements on conversations; each is bound to one organization."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Conversation
from app.pagination import Cursor


class ConversationRepo:
    """Conversations of one session; the caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        """Bind the repository to ``session``."""
        self._session = session

    async def list_for_org(
        self, org_id: UUID, limit: int = 50, *, after: Cursor | None = None
    ) -> Sequence[Conversation]:
        """Return up to ``limit`` conversations, newest first, from the one that follows ``after``."""
        key = tuple_(Conversation.created_at, Conversation.id)
        statement = (
            select(Conversation)
            .where(Conversation.org_id == org_id)
            .order_by(Conversation.created_at.desc(), Conversation.id.desc())
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(key < (after.created_at, after.id))
        return (await self._session.scalars(statement)).all()

    async def get(self, org_id: UUID, conversation_id: UUID) -> Conversation | None:
        """Return the conversation, if the organization has it."""
        conversation: Conversation | None = await self._session.scalar(
            select(Conversation).where(Conversation.id == conversation_id, Conversation.org_id == org_id)
        )
        return conversation

    async def create(self, org_id: UUID, title: str, extra_metadata: dict[str, Any] | None = None) -> Conversation:
        """Add a conversation to an organization that exists."""
        conversation = Conversation(org_id=org_id, title=title, extra_metadata=extra_metadata or {})
        self._session.add(conversation)
        await self._session.flush()
        return conversation

    async def rename(self, org_id: UUID, conversation_id: UUID, title: str) -> Conversation | None:
        """Give the conversation another title, if the organization has it."""
        conversation: Conversation | None = await self._session.scalar(
            update(Conversation)
            .where(Conversation.id == conversation_id, Conversation.org_id == org_id)
            .values(title=title)
            .returning(Conversation)
        )
        return conversation

    async def delete(self, org_id: UUID, conversation_id: UUID) -> bool:
        """Remove the conversation; tell whether the organization had it."""
        deleted = await self._session.scalar(
            delete(Conversation)
            .where(Conversation.id == conversation_id, Conversation.org_id == org_id)
            .returning(Conversation.id)
        )
        return deleted is not None
