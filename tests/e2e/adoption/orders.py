"""The models of a service that is not ours: its env.py imports them."""

from uuid import UUID

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of all models."""


class Order(Base):
    """An order."""

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    title: Mapped[str | None]
