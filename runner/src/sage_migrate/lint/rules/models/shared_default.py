"""A column's default is one dict or list that all objects share."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import models_of
from sage_migrate.lint.models.calls import called_name
from sage_migrate.lint.models.columns import types_of
from sage_migrate.lint.models.declarations import declarations_in
from sage_migrate.lint.project import Binding, External, Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule

_MADE = {"builtins.dict": "dict", "builtins.list": "list", "builtins.set": "set"}


class SharedDefault(ModuleRule):
    """`default={}` or `default=[]`."""

    code = "SM212"
    severity = "warning"
    condition = "The `default` of a column is a dict, a list or a set."
    effect = (
        "It is made once: all objects that got the default hold the same one, and what is put into it for one is in all "
        "of them, and in every row that is inserted later."
    )
    workaround = "Give the function that makes one: `default=dict`."
    bad = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB, default={})
"""
    good = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such default."""
        if "default" not in module.source:
            return
        for each in declarations_in(module, models_of(project)):
            column = each.column
            # Pydantic copies the defaults of SQLModel's fields.
            if called_name(column.node, column.scope, project) == "Field":
                continue
            if any(use.watched for use in types_of(column, project)):
                continue
            for argument in ("default", "insert_default", "onupdate"):
                maker = _maker(column.keywords.get(argument), column.scope, project)
                if maker:
                    yield found(each.shown, argument, maker, each.line, each.offset)


def found(shown: str, argument: str, maker: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a default."""
    return Finding(
        line=line,
        column=column,
        message=f"The {argument} of {shown} is one {maker} for all rows: a change in it for one object is in the others.",
        help=f"Instead: let each have its own.\n{argument}={maker}",
    )


def _maker(expression: ast.expr | None, scope: Scope, project: Project) -> str:
    match expression:
        case ast.Dict() | ast.DictComp():
            return "dict" if not getattr(expression, "keys", ()) else "lambda: {…}"
        case ast.List() | ast.ListComp():
            return "list" if not getattr(expression, "elts", ()) else "lambda: […]"
        case ast.Set() | ast.SetComp():
            return "lambda: {…}"
        case ast.Call(func=function):
            symbol = project.resolve(function, scope)
            return _MADE.get(symbol.name, "") if isinstance(symbol, External) else ""
        case ast.Name() | ast.Attribute():
            symbol = project.resolve(expression, scope)
            if isinstance(symbol, Binding) and symbol.kind == "assigned" and not isinstance(symbol.value, ast.Name):
                return _maker(symbol.value, symbol.scope, project)
    return ""
