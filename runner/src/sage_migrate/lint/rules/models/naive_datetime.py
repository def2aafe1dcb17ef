"""A model's point in time has no zone."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import Attribute, models_of
from sage_migrate.lint.models.calls import is_true, keyword, returned_values
from sage_migrate.lint.models.columns import Column, TypeUse, annotated_class, columns_of, type_map, type_uses, types_of
from sage_migrate.lint.models.declarations import declarations_in
from sage_migrate.lint.project import Binding, External, Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule

_TYPES = frozenset(("DateTime", "TIMESTAMP", "DATETIME"))
_OTHERS = ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.mysql", "sqlalchemy.dialects.mssql")
_DEFAULTS = ("default", "insert_default", "onupdate", "default_factory")
_DATETIME = "datetime.datetime"
_AWARE = "DateTime(timezone=True)"


class NaiveDatetime(ModuleRule):
    """`DateTime()` without `timezone=True`, or a default such as `datetime.utcnow`."""

    code = "SM214"
    severity = "warning"
    condition = (
        "A column's type is DateTime without `timezone=True`, also by `Mapped[datetime]` alone, or its default is a "
        "datetime without a zone."
    )
    effect = (
        "The column means another time on a server elsewhere, and asyncpg refuses to mix datetimes with and without a "
        "zone."
    )
    workaround = "Use `DateTime(timezone=True)`, best in the base's `type_annotation_map`, and `datetime.now(UTC)`."
    bad = """\
from datetime import datetime

from sqlalchemy import DateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(DateTime, default=datetime.utcnow)
"""
    good = """\
from datetime import UTC, datetime

from sqlalchemy import DateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}


class Event(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such column."""
        if module.is_test or (
            "date" not in module.source and "TIMESTAMP" not in module.source and "Date" not in module.source
        ):
            return
        models = models_of(project)
        told: set[int] = set()
        for each in declarations_in(module, models):
            if each.line in told:
                continue
            if any(is_naive(use) for use in types_of(each.column, project)):
                told.add(each.line)
                yield of_type(each.shown, each.line, each.offset)
            elif any(_is_naive_value(value, each.column, project) for value in _defaults(each.column)):
                told.add(each.line)
                yield of_default(each.shown, each.line, each.offset)
        for model in models.classes_in(module):
            if model.is_declarative and not model.is_sqlmodel:
                for attribute in model.attributes.values():
                    if attribute.node.lineno not in told and _is_naive_by_annotation(attribute, project):
                        yield of_type(
                            f"{model.name}.{attribute.name}", attribute.node.lineno, attribute.node.col_offset + 1
                        )


def of_type(shown: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a type."""
    return Finding(
        line=line,
        column=column,
        message=f"{shown} has no time zone: it means another time elsewhere, and asyncpg refuses aware datetimes for it.",
        help=f"Instead: keep the zone.\n{_AWARE}",
    )


def of_default(shown: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a default."""
    return Finding(
        line=line,
        column=column,
        message=f"The default of {shown} is a datetime without a zone.",
        help="Instead: keep the zone.\ndefault=lambda: datetime.now(UTC)",
    )


def is_naive(use: TypeUse) -> bool:
    """Tell whether a type has no zone."""
    if use.name not in _TYPES or use.dotted.startswith(_OTHERS):
        return False
    if not isinstance(use.node, ast.Call):
        return True
    given = keyword(use.node, "timezone") or (use.node.args[0] if use.node.args else None)
    return given is None or (isinstance(given, ast.Constant) and not is_true(given))


def _defaults(column: Column) -> Iterator[ast.expr]:
    for name in _DEFAULTS:
        if name in column.keywords:
            yield column.keywords[name]


def _is_naive_value(expression: ast.expr, column: Column, project: Project) -> bool:
    symbol = project.resolve(expression, column.scope)
    if isinstance(symbol, External):
        return symbol.name in (f"{_DATETIME}.utcnow", f"{_DATETIME}.now")
    if isinstance(symbol, Binding) and isinstance(symbol.node, ast.FunctionDef):
        inside = symbol.scope.module.scope_of(symbol.node)
        return any(_is_naive_now(each, inside, project) for each in returned_values(symbol.node))
    if isinstance(expression, ast.Lambda):
        return _is_naive_now(expression.body, column.scope, project)
    return _is_naive_now(expression, column.scope, project)


def _is_naive_now(expression: ast.expr, scope: Scope, project: Project) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    symbol = project.resolve(expression.func, scope)
    if not isinstance(symbol, External):
        return False
    return symbol.name == f"{_DATETIME}.utcnow" or (
        symbol.name == f"{_DATETIME}.now" and not expression.args and not expression.keywords
    )


def _is_naive_by_annotation(attribute: Attribute, project: Project) -> bool:
    scope = attribute.owner.scope
    if attribute.kind != "column" or annotated_class(attribute.annotation, scope, project) != _DATETIME:
        return False
    declared = list(columns_of(attribute))
    if any(each.types for each in declared) or (attribute.value is not None and not declared):
        return False
    types = type_map(attribute)
    if types is None:
        return False
    for mapping, where in types:
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            if key is None:
                return False
            if annotated_class(key, where, project) == _DATETIME:
                return any(is_naive(use) for use in type_uses(value, where, project))
    return True
