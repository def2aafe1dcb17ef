"""A query in a route."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.routes.handlers import dependencies, route_handlers
from sage_migrate.lint.routes.queries import is_query
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import own_nodes
from sage_migrate.lint.sessions.waits import label


class QueryInRoute(ModuleRule):
    """A route handler, or a dependency of one, builds or runs a query."""

    code = "SM401"
    severity = "warning"
    condition = (
        "A route handler, or a dependency of one, builds or runs a query. Not meant: a dependency that only provides a "
        "session, and a health check whose statement asks no table (`SELECT 1`)."
    )
    effect = "The query can be tested, reused and reviewed only through HTTP; what the schema looks like is spread over all routes, and a change of it with it."
    workaround = "Put it into a method of a repository; the route calls that."
    bad = """\
from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import get_session
from app.models import Order

router = APIRouter()


@router.get("/orders")
async def list_orders(session: AsyncSession = Depends(get_session)):
    return (await session.scalars(select(Order).order_by(Order.id))).all()
"""
    good = """\
from fastapi import APIRouter, Depends

from app.dependencies import get_orders
from app.repositories.orders import OrderRepo

router = APIRouter()


@router.get("/orders")
async def list_orders(orders: OrderRepo = Depends(get_orders)):
    return await orders.list_newest()
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for the first query of each handler and dependency."""
        analysis = project.once(Analysis)
        if module.is_test:
            return
        handlers = route_handlers(module, analysis.inference)
        found = project.once(dependencies).get(module, {})
        for node in {**handlers, **found}:
            if isinstance(node, Function):
                who = f"The route {node.name}" if node in handlers else f"{node.name}, a dependency of {found[node]},"
                yield from _first_query(node, who, module, analysis)


def _first_query(
    function: ast.FunctionDef | ast.AsyncFunctionDef, who: str, module: Module, analysis: Analysis
) -> Iterator[Finding]:
    scope = module.scope_of(function)
    for node in own_nodes(function):
        if isinstance(node, ast.Call) and is_query(node, scope, analysis.inference):
            yield Finding(
                line=node.lineno,
                column=node.col_offset + 1,
                message=f"{who} has a query of its own ({label(node)}): it can be tested and reused only through HTTP.",
                help=f"Instead: give a repository a method for it, and call that.\nasync def {function.name}(…, repository: … = Depends(…)):\n    return await repository.{function.name}(…)",
            )
            return
