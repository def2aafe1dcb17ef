"""The shop's tables, as every module of the corpus imports them."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship
from sqlalchemy.types import Text


class Base(DeclarativeBase):
    """Base of the shop's models."""


class User(Base):
    """A customer."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    biography: Mapped[str] = deferred(mapped_column(Text, default=""))
    orders: Mapped[list["Order"]] = relationship(back_populates="user")


class Order(Base):
    """What a customer ordered."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    total: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="")
    user: Mapped[User] = relationship(back_populates="orders")
    items: Mapped[list["Item"]] = relationship(lazy="selectin")


class Item(Base):
    """A line of an order."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    name: Mapped[str] = mapped_column(default="")
