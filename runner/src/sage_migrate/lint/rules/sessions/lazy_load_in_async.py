"""A relationship that is loaded when async code reads it."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.answers import read_by_schemas, schema_fields
from sage_migrate.lint.sessions.mapping import lazy_relationships
from sage_migrate.lint.sessions.waits import function_name


class LazyLoadInAsync(ModuleRule):
    """Async code, or a schema that it answers with, reads a relationship or deferred column that the query did not load."""

    code = "SM304"
    condition = "Async code, or a schema that it answers with, reads a relationship or a deferred column that the query did not load."
    effect = "The attribute would load itself, which an AsyncSession cannot do there: MissingGreenlet, or DetachedInstanceError after the session is closed."
    workaround = 'Load it with the query (`selectinload`, `joinedload`), or await it (`AsyncAttrs.awaitable_attrs`, `session.refresh(user, ["orders"])`).'
    bad = """\
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))


async def count_orders(session: AsyncSession, user_id: int) -> int:
    user = await session.get_one(User, user_id)
    return len(user.orders)
"""
    good = bad.replace(
        "session.get_one(User, user_id)", "session.get_one(User, user_id, options=[selectinload(User.orders)])"
    ).replace("relationship\n", "relationship, selectinload\n")

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each read that would load."""
        analysis = project.once(Analysis)
        if module.is_test or not analysis.concerns(module):
            return
        for function in ast.walk(module.tree):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            for read in analysis.lazy_reads.of(function, module.scope_of(function)):
                chain = " → ".join((function_name(function, module.scope_of(function)), *read.chain))
                attribute = read.chain[-1].rpartition(".")[2]
                yield _finding(
                    read.node,
                    f"{chain} is loaded when it is read, and async code cannot wait for it there: MissingGreenlet.",
                    attribute,
                    "",
                )
            for node, entity, schema in read_by_schemas(function, module, analysis.inference):
                if entity.eager is None or entity.made:
                    continue
                lazy = lazy_relationships(entity.cls, project) - entity.eager
                for name in sorted(lazy & schema_fields(schema, analysis.inference)):
                    yield _finding(
                        node,
                        f"{schema.name} reads {entity.cls.name}.{name}, which the query did not load, and async code cannot wait for it there: MissingGreenlet.",
                        name,
                        entity.cls.name,
                    )


def _finding(node: ast.AST, message: str, attribute: str, cls: str) -> Finding:
    return Finding(
        line=getattr(node, "lineno", 1),
        column=getattr(node, "col_offset", 0) + 1,
        message=message,
        help=f"Instead: load it with the query.\n.options(selectinload({cls or '…'}.{attribute}))",
    )
