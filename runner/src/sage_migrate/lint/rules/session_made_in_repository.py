"""A repository that makes its own session."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.repositories import repository_classes
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.libraries import makes_session


class SessionMadeInRepository(ModuleRule):
    """A repository makes the session that it works with."""

    code = "SM404"
    severity = "warning"
    condition = "A repository makes the session that it works with."
    effect = (
        "Each call is a transaction and a connection of its own: two repositories cannot take part in one transaction, "
        "and a test cannot roll back what they did."
    )
    workaround = "Take the session in the constructor; whoever owns the transaction makes it."
    bad = """\
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.models import Order

sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://localhost/shop"))


class OrderRepository:
    async def get(self, order_id: int) -> Order | None:
        async with sessions() as session:
            return await session.scalar(select(Order).where(Order.id == order_id))
"""
    good = """\
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Order


class OrderRepository:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, order_id: int) -> Order | None:
        return await self.session.scalar(select(Order).where(Order.id == order_id))
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each session that a repository's method makes."""
        for repository in repository_classes(module):
            for node in ast.walk(repository):
                if isinstance(node, ast.Call) and makes_session(node, module.scope_of(node), project):
                    yield Finding(
                        line=node.lineno,
                        column=node.col_offset + 1,
                        message=f"{repository.name} makes its own session: what it does cannot be part of a transaction with anything else.",  # noqa: E501
                        help="Instead: take the session from whoever owns the transaction.\n"
                        f"class {repository.name}:\n"
                        "    def __init__(self, session: AsyncSession) -> None:\n"
                        "        self.session = session",
                    )
