"""A mixin's column that does not reach the table."""

from collections.abc import Iterator

from sage_migrate.lint.models import RESERVED, Attribute, ModelClass, models_of
from sage_migrate.lint.models.renaming import FREE
from sage_migrate.lint.models.tables import mapper_arguments, read_options, read_table
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule


class ColumnDropped(ModuleRule):
    """A column is hidden by what an earlier class of the model's ancestors has under its name."""

    code = "SM202"
    severity = "error"
    condition = "A column of a mixin or a table is hidden by another attribute of its name."
    effect = (
        "SQLAlchemy leaves the column out without a word. A mixin after the base loses `metadata` and `registry` so, "
        "because the base has them. What is written to the attribute is not saved."
    )
    workaround = "Give the column another name, or remove what hides it."
    bad = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class WithMetadata:
    metadata: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class Order(Base, WithMetadata):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
"""
    good = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class WithMetadata:
    extra_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)


class Order(Base, WithMetadata):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each column that a model of ``module`` loses."""
        for model in models_of(project).classes_in(module):
            if model.is_mapped and not model.is_sqlmodel:
                for column, hider in _hidden(model):
                    yield found(
                        model.name, column.owner.name, column.name, hider, model.node.lineno, model.node.col_offset + 1
                    )
                yield from _hidden_of_table(model, project)


def found(model: str, source: str, name: str, hider: str, line: int, column: int = 1) -> Finding:  # noqa: PLR0913, PLR0917  a sentence's parts
    """Return what is said of a column, at the line of the class."""
    free = FREE.get(name)
    return Finding(
        line=line,
        column=column,
        message=f"{model} has no column {name}: {hider} hides the one of {source}, and nothing warns.",
        help=f"Instead: in {source}, name it {free}."
        if free
        else f"Instead: rename one of {source}.{name} and {hider}.{name}.",
    )


def _hidden(model: ModelClass) -> Iterator[tuple[Attribute, str]]:
    for place, mixin in enumerate(model.ancestors):
        if not isinstance(mixin, ModelClass) or mixin is model or mixin.is_mapped or mixin.is_root:
            continue
        for attribute in mixin.attributes.values():
            if attribute.is_mapped and not attribute.name.startswith("__"):
                hider = _hider(model, place, attribute.name)
                if hider:
                    yield attribute, hider


def _hider(model: ModelClass, place: int, name: str) -> str:
    provider = model.provider
    if name in RESERVED and provider is not None and provider < place:
        base = model.ancestors[provider]
        return base.name if isinstance(base, ModelClass) else "the base"
    for earlier in model.ancestors[:place]:
        attribute = earlier.attributes.get(name) if isinstance(earlier, ModelClass) else None
        if attribute is None or attribute.kind in ("field", "annotation"):
            continue
        # What the model itself says is meant so.
        is_meant = attribute.is_mapped or attribute.kind == "unknown" or attribute.owner is model
        return "" if is_meant else attribute.owner.name
    return ""


def _hidden_of_table(model: ModelClass, project: Project) -> Iterator[Finding]:
    declared = model.attributes.get("__table__")
    table = read_table(declared.value, model.scope, project) if declared is not None else None
    arguments = mapper_arguments(model)
    if table is None or arguments is None:
        return
    own = [each for each in model.attributes.values() if each.value is not None and each.name != "__table__"]
    options = read_options(arguments, (each.value for each in own if each.value is not None))
    for column in table.columns:
        key = column.key or column.name or ""
        attribute = model.attributes.get(key)
        if attribute is not None and attribute.kind == "other" and options.maps(key):
            yield found(model.name, table.name, key, model.name, model.node.lineno, model.node.col_offset + 1)
