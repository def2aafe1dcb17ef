"""A model's column is of type JSON."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import models_of
from sage_migrate.lint.models.columns import TypeUse, type_uses, types_of
from sage_migrate.lint.models.declarations import declarations_in
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule

_OTHERS = ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.mysql", "sqlalchemy.dialects.mssql")


class JsonAttribute(ModuleRule):
    """A column, or the type map of a base, says JSON where PostgreSQL has jsonb."""

    code = "SM211"
    severity = "warning"
    condition = "A column of a model or table, or a base's `type_annotation_map`, is of type JSON."
    effect = "json has no equality: DISTINCT and GROUP BY fail on it, and no index can look into it."
    workaround = 'Use JSONB; `JSONB().with_variant(JSON(), "sqlite")` where tests run on SQLite.'
    bad = """\
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
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
        """Yield a finding for each such column and map."""
        if module.is_test or ("JSON" not in module.source and "Json" not in module.source):
            return
        models = models_of(project)
        for each in declarations_in(module, models):
            if any(_is_json(use) for use in types_of(each.column, project)):
                yield found(each.shown, each.line, each.offset)
        for model in models.classes_in(module):
            types = model.attributes.get("type_annotation_map")
            if types is not None and isinstance(types.value, ast.Dict):
                for value in types.value.values:
                    if any(_is_json(use) for use in type_uses(value, model.scope, project)):
                        yield found(f"The type map of {model.name}", value.lineno, value.col_offset + 1)


def found(shown: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a column."""
    return Finding(
        line=line,
        column=column,
        message=f"{shown} is of type json: DISTINCT and GROUP BY fail on it, and no index looks into it.",
        help="Instead: use jsonb.\nfrom sqlalchemy.dialects.postgresql import JSONB",
    )


def _is_json(use: TypeUse) -> bool:
    return use.name == "JSON" and not use.dotted.startswith(_OTHERS)
