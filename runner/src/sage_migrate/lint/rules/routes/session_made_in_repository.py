"""A repository that makes its own session."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.routes.repositories import repository_functions
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import own_nodes
from sage_migrate.lint.sessions.values import Instance, Manager, Value


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
        inference = project.once(Analysis).inference
        for function in repository_functions(module):
            if not function.in_class:
                continue
            scope = module.scope_of(function.node)
            for node in own_nodes(function.node):
                if isinstance(node, ast.Call) and _is_made(node, inference.infer(node, scope)):
                    yield Finding(
                        line=node.lineno,
                        column=node.col_offset + 1,
                        message=f"{function.name} makes its own session: what it does cannot be part of a transaction with anything else.",
                        help="Instead: take the session from whoever owns the transaction.\n"
                        f"class {function.repository}:\n"
                        "    def __init__(self, session: AsyncSession) -> None:\n"
                        "        self.session = session",
                    )


def _is_made(call: ast.Call, value: Value | None) -> bool:
    if isinstance(value, Manager) and value.function is None:
        value = value.value
    return (
        isinstance(value, Instance)
        and value.kind in {"Session", "AsyncSession", "Connection", "AsyncConnection"}
        and value.origin is call
    )
