"""A session that is kept while the client takes its time."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.streams import kept_sessions


class SessionKeptWhileClientWaits(ModuleRule):
    """A streamed answer or a WebSocket keeps a session, and its connection, until the client has taken or said something."""

    code = "SM306"
    severity = "warning"
    condition = "A streamed answer yields, or a WebSocket waits for a message, while an AsyncSession is open."
    effect = "Each client holds a connection of the pool for as long as it likes, its transaction open: a handful of slow ones stop the service, and vacuum with it."
    workaround = "Open the session for one page or one message, and close it before the next is sent."
    bad = """\
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text

from app.database import sessions

app = FastAPI()


async def lines():
    async with sessions() as session:
        async for row in await session.stream(text("SELECT line FROM log")):
            yield row.line
"""
    bad = (
        bad.replace(
            "from app.database import sessions",
            'from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine\n\nsessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://localhost/shop"))',
        )
        + """\


@app.get("/log")
async def log():
    return StreamingResponse(lines())
"""
    )
    good = bad.replace(
        """\
    async with sessions() as session:
        async for row in await session.stream(text("SELECT line FROM log")):
            yield row.line
""",
        """\
    last = 0
    while True:
        async with sessions() as session:
            query = text("SELECT id, line FROM log WHERE id > :last ORDER BY id LIMIT 500")
            page = (await session.execute(query, {"last": last})).all()
        if not page:
            return
        for last, line in page:
            yield line
""",
    )

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each session that is kept so."""
        analysis = project.once(Analysis)
        if module.is_test or not analysis.concerns(module):
            return
        for kept in kept_sessions(module, analysis.inference):
            what = "the client has taken the whole answer" if kept.streams else "the client hangs up"
            piece = "page" if kept.streams else "message"
            yield Finding(
                line=kept.node.lineno,
                column=kept.node.col_offset + 1,
                message=f"{kept.by} keeps {kept.session} and its connection until {what}: slow clients use up the pool.",
                help=f"Instead: open a session for each {piece}.\nasync with sessions() as {kept.session.rpartition('.')[2]}:",
            )
