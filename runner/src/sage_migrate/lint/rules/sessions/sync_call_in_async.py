"""A synchronous database call in the event loop."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.roots import functions_in_loop
from sage_migrate.lint.sessions.waits import Wait, function_name


class SyncCallInAsync(ModuleRule):
    """An async function waits for the database in the thread of the event loop."""

    code = "SM301"
    condition = "An async function, or a function that it calls, waits for the database through a synchronous engine, session or driver."
    effect = "The event loop stands still until the server has answered: every other request, timer and health check of this process waits too."
    workaround = (
        "Use an AsyncSession, or let the synchronous code run in a thread: an ordinary `def` route or dependency, "
        "`run_in_threadpool`, `asyncio.to_thread`."
    )
    bad = """\
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from app.models import Order

app = FastAPI()
SessionLocal = sessionmaker(create_engine("postgresql+psycopg://localhost/shop"))


def get_db():
    with SessionLocal() as db:
        yield db


def load_orders(db: Session) -> list[Order]:
    return list(db.scalars(select(Order)))


@app.get("/orders")
async def list_orders(db: Session = Depends(get_db)):
    return load_orders(db)
"""
    good = """\
from fastapi import Depends, FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app.models import Order

app = FastAPI()
sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://localhost/shop"), expire_on_commit=False)


async def get_db():
    async with sessions() as db:
        yield db


@app.get("/orders")
async def list_orders(db: AsyncSession = Depends(get_db)):
    return (await db.scalars(select(Order))).all()
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each call of a function in the loop that waits."""
        analysis = project.once(Analysis)
        if not analysis.concerns(module):
            return
        for function in functions_in_loop(module, analysis.inference):
            for wait in analysis.waits.of(function, module.scope_of(function)):
                yield _finding(function, wait, module)


def _finding(function: ast.FunctionDef | ast.AsyncFunctionDef, wait: Wait, module: Module) -> Finding:
    name = function_name(function, module.scope_of(function))
    chain = " → ".join((name, *wait.chain))
    return Finding(
        line=getattr(wait.node, "lineno", function.lineno),
        column=getattr(wait.node, "col_offset", 0) + 1,
        message=f"{chain} waits for the database in the event loop: until it has answered, this process serves nobody.",
        help=f"Instead: {_instead(function, wait)}",
    )


def _instead(function: ast.FunctionDef | ast.AsyncFunctionDef, wait: Wait) -> str:
    if len(wait.chain) > 1 and isinstance(wait.node, ast.Call):
        arguments = ", ".join(ast.unparse(each) for each in [wait.node.func, *wait.node.args])
        keywords = "".join(f", {each.arg}={ast.unparse(each.value)}" if each.arg else "" for each in wait.node.keywords)
        return f"let {wait.chain[0]} run in a thread, or make it async down to the session.\nawait asyncio.to_thread({arguments}{keywords})"
    if isinstance(function, ast.FunctionDef):
        return f"use an AsyncSession (or an AsyncEngine) in an async def.\nasync def {function.name}(…):"
    if wait.chain[0].endswith(".create_all"):
        return f"let migrations make the tables; or, on an AsyncEngine:\nasync with engine.begin() as connection:\n    await connection.run_sync({wait.chain[0]})"
    return f"await the same on an AsyncSession (or an AsyncConnection), or put it into an ordinary def that runs in a thread.\nawait {wait.chain[0]}(…)"
