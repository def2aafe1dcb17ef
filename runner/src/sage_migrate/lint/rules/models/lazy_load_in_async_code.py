"""A relationship that async code cannot load when it is read."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import Attribute, Models, models_of
from sage_migrate.lint.models.calls import called_name, keyword, library_name, made_by, text_of
from sage_migrate.lint.models.instances import instance_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import External, Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule

_ASYNC = ("AsyncSession", "async_sessionmaker", "create_async_engine")
_MAKERS = frozenset(("relationship", "Relationship", "dynamic_loader"))
_LOADS = frozenset(
    (
        "selectinload",
        "joinedload",
        "subqueryload",
        "immediateload",
        "contains_eager",
        "defaultload",
        "raiseload",
        "noload",
    )
)


class LazyLoadInAsyncCode(ModuleRule):
    """`lazy="dynamic"`, or a lazy relationship that async code reads and nothing loads."""

    code = "SM216"
    severity = "warning"
    condition = (
        'A project that uses AsyncSession has a relationship with `lazy="dynamic"`, or one that is loaded when it is read, '
        "is read in async code, and is named by no loader option."
    )
    effect = "Reading it raises MissingGreenlet: an attribute cannot be awaited."
    workaround = 'Load it with the query: `lazy="selectin"` or `selectinload()`; `lazy="write_only"` for large ones.'
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
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


async def count_orders(session: AsyncSession, user_id: int) -> int:
    user = await session.get_one(User, user_id)
    return len(user.orders)
"""
    good = """\
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list["Order"]] = relationship(lazy="selectin")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


async def count_orders(session: AsyncSession, user_id: int) -> int:
    user = await session.get_one(User, user_id)
    return len(user.orders)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such relationship of the models in ``module``."""
        if module.is_test or "elationship" not in module.source:
            return
        if not any(name in each.source for each in project.modules if not each.is_test for name in _ASYNC):
            return
        models = models_of(project)
        for model in models.classes_in(module):
            if not model.is_declarative:
                continue
            for attribute in model.attributes.values():
                if attribute.kind == "related":
                    yield from _judge(attribute, models)


def _judge(attribute: Attribute, models: Models) -> Iterator[Finding]:
    made = made_by(attribute.value, attribute.owner.scope, models.project)
    if made is None or called_name(*made, models.project) not in _MAKERS:
        return
    lazy = keyword(made[0], "lazy")
    how = "select" if lazy is None or (isinstance(lazy, ast.Constant) and lazy.value is True) else text_of(lazy)
    shown = f"{attribute.owner.name}.{attribute.name}"
    if how == "dynamic" or called_name(*made, models.project) == "dynamic_loader":
        yield _found(
            attribute,
            f'{shown} is lazy="dynamic": its queries are synchronous, and an AsyncSession cannot run them.',
            "write_only",
        )
    elif how == "select" and not _can_be_awaited(attribute):
        reader = _reader(attribute, models)
        if reader and not _is_loaded(attribute.name, models):
            yield _found(
                attribute,
                f"{shown} is loaded when it is read, which raises MissingGreenlet in async code: {reader}.",
                "selectin",
            )


def _found(attribute: Attribute, message: str, lazy: str) -> Finding:
    return Finding(
        line=attribute.node.lineno,
        column=attribute.node.col_offset + 1,
        message=message,
        help=f'Instead: load it with the query.\nrelationship(…, lazy="{lazy}")',
    )


def _can_be_awaited(attribute: Attribute) -> bool:
    return any(isinstance(each, External) and library_name(each) == "AsyncAttrs" for each in attribute.owner.ancestors)


def _reader(attribute: Attribute, models: Models) -> str:
    """Return which async function reads the attribute of an object."""
    for module in models.project.modules:
        if module.is_test or f".{attribute.name}" not in module.source or "async def" not in module.source:
            continue
        for node in nodes_of(module).attributes:
            if node.attr == attribute.name and isinstance(node.ctx, ast.Load):
                scope = module.scope_of(node)
                function = scope.function
                if function is None or not isinstance(function.node, ast.AsyncFunctionDef):
                    continue
                model = instance_of(node.value, scope, models)
                if model is not None and model.find(attribute.name) is attribute:
                    return f"{function.node.name}() reads it"
    return ""


def _is_loaded(name: str, models: Models) -> bool:
    """Tell whether some loader option or refresh in the project names the attribute."""
    for module in models.project.modules:
        if name not in module.source or not any(each in module.source for each in (*_LOADS, "refresh")):
            continue
        for node in nodes_of(module).calls:
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if called in _LOADS or called == "refresh":
                given = [
                    part for each in (*node.args, *(one.value for one in node.keywords)) for part in ast.walk(each)
                ]
                if any(
                    text_of(part) == name if isinstance(part, ast.Constant) else getattr(part, "attr", "") == name
                    for part in given
                ):
                    return True
    return False
