"""A repository that commits."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.routes.repositories import repository_functions
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.values import Instance, Manager, Method
from sage_migrate.lint.sessions.waits import label

_SESSIONS = frozenset(("session", "_session", "db", "_db", "async_session", "db_session", "conn", "connection"))


class CommitInRepository(ModuleRule):
    """A repository ends the transaction that its caller is in."""

    code = "SM402"
    severity = "warning"
    condition = "A method of a repository, or a function of a module of repositories, commits or rolls back."
    effect = "Two calls of repositories are two transactions: when the second one fails, the first one's half of the work stays."
    workaround = (
        "`flush()` in the repository; whoever opened the session commits: a dependency, a unit of work, a service."
    )
    bad = """\
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Order


class OrderRepository:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def add(self, order: Order) -> None:
        self.session.add(order)
        await self.session.commit()
"""
    good = bad.replace("commit()", "flush()")

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each commit and rollback in a repository."""
        inference = project.once(Analysis).inference
        for function in repository_functions(module):
            for node in own_nodes(function.node):
                if isinstance(node, ast.Call) and _ends_transaction(node, module, inference):
                    what = label(node)
                    yield Finding(
                        line=node.lineno,
                        column=node.col_offset + 1,
                        message=f"{function.name} ends its caller's transaction ({what}): what else belongs into it is stored, or lost, apart.",
                        help=f"Instead: flush here, and let whoever opened the session commit.\nawait {ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else 'session'}.flush()",
                    )


def _ends_transaction(call: ast.Call, module: Module, inference: Inference) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    method = inference.infer(call.func, module.scope_around(call))
    if isinstance(method, Method):
        if call.func.attr == "begin":
            # The end of its block commits.
            entered = inference.infer(call, module.scope_around(call))
            return (
                isinstance(entered, Manager)
                and entered.commits
                and isinstance(method.of, Instance)
                and "ession" in method.of.kind
                and "maker" not in method.of.kind
            )
        return call.func.attr in {"commit", "rollback"}
    return method is None and call.func.attr in {"commit", "rollback"} and last_name(call.func.value) in _SESSIONS
