"""The tables, as typed models."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, MetaData, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of all models."""

    # Every constraint has a name that a later migration can rely on
    # (https://alembic.sqlalchemy.org/en/latest/naming.html).
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # A point in time without its zone is a bug that waits for a server elsewhere.
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True)}


class Organization(Base):
    """Who owns conversations."""

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Conversation(Base):
    """A conversation of one organization."""

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint("btrim(title) <> ''", name="title_not_blank"),
        # Backwards, the order of `ConversationRepo.list_for_org`; its first column serves the foreign key.
        Index(None, "org_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Not `metadata`: that name is SQLAlchemy's. MutableDict sees changes that are made in place.
    extra_metadata: Mapped[dict[str, Any]] = mapped_column(
        MutableDict.as_mutable(JSONB()), default=dict, server_default=text("'{}'::jsonb")
    )
