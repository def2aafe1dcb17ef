"""An object that is read after the commit that expired it."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.expiry import Expired, expired_reads


class ExpiredObjectRead(ModuleRule):
    """Async code reads an attribute of a mapped object after a commit or a rollback expired it."""

    code = "SM305"
    condition = "Async code, or a schema that it answers with, reads an attribute of a mapped object after a commit (without `expire_on_commit=False`) or a rollback has expired it."
    effect = "The attribute would load itself again, which an AsyncSession cannot do there: MissingGreenlet, after the data is stored; the client sees a 500 and tries again."
    workaround = "Make the sessionmaker with `expire_on_commit=False`; or read before the commit, or `await session.refresh(…)` after it."
    bad = """\
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://localhost/shop"))


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)


async def sign_up() -> int:
    async with sessions() as session:
        user = User()
        session.add(user)
        await session.commit()
        return user.id
"""
    good = bad.replace('/shop"))', '/shop"), expire_on_commit=False)')

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each read of what is expired."""
        if module.is_test or not project.once(Analysis).concerns(module):
            return
        for function in ast.walk(module.tree):
            if isinstance(function, ast.AsyncFunctionDef):
                for read in expired_reads(function, module, project):
                    yield _finding(read)


def _finding(read: Expired) -> Finding:
    what = f"{read.name}.{read.attribute}" if read.attribute else f"{read.name}, as the answer's schema reads it,"
    if read.by == "rollback":
        instead = f"read it before, or load {read.name} again.\nawait session.refresh({read.name})"
    else:
        instead = f"keep objects readable after a commit, or load {read.name} again.\nasync_sessionmaker(engine, expire_on_commit=False)\nawait session.refresh({read.name})"
    return Finding(
        line=getattr(read.node, "lineno", 1),
        column=getattr(read.node, "col_offset", 0) + 1,
        message=f"{what} was expired by the {read.by}; reading it would load it again, and async code cannot wait for it there: MissingGreenlet.",
        help=f"Instead: {instead}",
    )
