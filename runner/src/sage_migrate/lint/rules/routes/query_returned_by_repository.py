"""A repository that returns a query."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.routes.repositories import repository_functions
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import own_nodes
from sage_migrate.lint.sessions.values import Instance

_TYPES = frozenset(("Select", "Query", "Executable"))


class QueryReturnedByRepository(ModuleRule):
    """A repository returns a query that its caller goes on building and runs."""

    code = "SM403"
    severity = "warning"
    condition = "A public method of a repository, or a function of a module of repositories, returns a `select()` or a `Query` that has not run."
    effect = "The caller adds conditions and runs it: which queries there are, and which index serves them, is known nowhere."
    workaround = "Take the conditions as arguments, run the query, and return objects."
    bad = """\
from sqlalchemy import Select, select

from app.models import Order


class OrderRepository:
    def open_orders(self) -> Select:
        return select(Order).where(Order.closed_at.is_(None))
"""
    good = """\
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Order


class OrderRepository:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def open_orders(self) -> Sequence[Order]:
        return (await self.session.scalars(select(Order).where(Order.closed_at.is_(None)))).all()
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each method that returns a query."""
        inference = project.once(Analysis).inference
        for function in repository_functions(module):
            if function.node.name.startswith("_"):
                continue
            scope = module.scope_of(function.node)
            for node in own_nodes(function.node):
                if not isinstance(node, ast.Return) or node.value is None:
                    continue
                value = inference.infer(node.value, scope)
                is_query = isinstance(value, Instance) and value.kind in {"Select", "Query"}
                if is_query or (value is None and last_name(function.node.returns) in _TYPES):
                    yield Finding(
                        line=node.lineno,
                        column=node.col_offset + 1,
                        message=f"{function.name} returns a query that has not run: its callers build on it, and nobody knows which queries there are.",
                        help=f"Instead: take the conditions as arguments, run it, and return objects.\nreturn (await session.scalars({' '.join(ast.unparse(node.value).split())})).all()",
                    )
                    break
