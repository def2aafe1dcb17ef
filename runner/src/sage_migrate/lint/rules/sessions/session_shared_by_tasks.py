"""One AsyncSession for several tasks."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.sharing import Sharing, shared_sessions


class SessionSharedByTasks(ModuleRule):
    """Several tasks use one AsyncSession, or one uses it after its owner has gone on."""

    code = "SM303"
    condition = "An AsyncSession (or AsyncConnection) is used by several tasks: of gather, a TaskGroup, create_task, a background task, or of all requests because it lives in a module."
    effect = "A session is one connection and one transaction: two tasks at a time raise InvalidRequestError or InterfaceError, or commit each other's half-done work."
    workaround = "Give each task a session of its own, or await one after the other."
    bad = """\
import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from app.queries import count_orders, count_users


async def dashboard(session: AsyncSession) -> list[int]:
    return await asyncio.gather(count_users(session), count_orders(session))
"""
    good = """\
import asyncio

from app.database import sessions
from app.queries import count_orders, count_users


async def count(query) -> int:
    async with sessions() as session:
        return await query(session)


async def dashboard() -> list[int]:
    return await asyncio.gather(count(count_users), count(count_orders))
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each place where a session is given to more than one task."""
        analysis = project.once(Analysis)
        if module.is_test or module.is_alembic_environment or not analysis.concerns(module):
            return
        for sharing in shared_sessions(module, analysis.inference):
            yield Finding(
                line=sharing.node.lineno,
                column=sharing.node.col_offset + 1,
                message=_message(sharing),
                help=f"Instead: {_instead(sharing)}",
            )


def _message(sharing: Sharing) -> str:
    name = sharing.session
    match sharing.how:
        case "tasks":
            return f"{sharing.by} runs several coroutines on {name} at a time: a session has one connection, and the second one raises, or takes part in the first one's transaction."
        case "detached":
            return f"{sharing.by} goes on with {name} after this function has: whoever made the session closes it meanwhile, or uses it at the same time."
        case "background":
            return f"The background task gets {name} of the request: with FastAPI 0.106 to 0.117 it is closed by then, with others its connection is kept until the task has ended."
        case _:
            return f"{name} is made once for all: every request uses the same connection and the same transaction, at the same time."


def _instead(sharing: Sharing) -> str:
    if sharing.how == "module":
        return f"keep the sessionmaker there, and make a session where it is used.\n{sharing.session}_maker = async_sessionmaker(engine, expire_on_commit=False)\nasync with {sharing.session}_maker() as {sharing.session}:"
    return "each task opens its own session, from the sessionmaker.\nasync with sessions() as session:"
