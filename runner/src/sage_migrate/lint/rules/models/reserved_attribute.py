"""A model's attribute has a name that SQLAlchemy keeps for itself."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import RESERVED, Attribute, ModelClass, Models, models_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.models.renaming import EXAMPLE, FREE, renamed
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule

_KEPT = {"metadata": "the MetaData that holds all tables", "registry": "the registry that holds all mappings"}


class ReservedAttribute(ModuleRule):
    """The body of a model, or of a mixin, defines `metadata` or `registry`."""

    code = "SM201"
    severity = "error"
    condition = "A model, or a mixin for models, defines an attribute `metadata` or `registry`."
    effect = (
        "Every model has these two from its base. SQLAlchemy 2.0 refuses `metadata` when the module is imported; 2.1 "
        "warns and lets the column hide the MetaData. `registry` is hidden by both. Whatever then asks the model for "
        "its MetaData or registry gets a column; a schema that reads the attribute breaks when it is renamed."
    )
    workaround = "Name the attribute `extra_metadata`; its column may keep the name `metadata`."
    bad = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    metadata: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
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
    extra_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such attribute, and for each model that inherits one from where none is told."""
        models = models_of(project)
        for model in models.classes_in(module):
            for name in RESERVED:
                own = model.attributes.get(name)
                if own is not None:
                    if _is_wrong(own):
                        yield found(own)
                elif model.is_mapped:
                    yield from _inherited(model, name, project)
        if any(f".{name}" in module.source for name in RESERVED):
            yield from _added(module, models)


def found(attribute: Attribute) -> Finding:
    """Return what is said of an attribute, at its own line."""
    owner, name = attribute.owner.name, attribute.name
    if attribute.is_mapped:
        message = f"{owner}.{name} hides {_KEPT[name]}: SQLAlchemy 2.0 " + (
            "refuses the model when it is imported, 2.1 warns." if name == "metadata" else "is silent, 2.1 warns."
        )
    else:
        message = f"{owner}.{name} stands where SQLAlchemy looks for {_KEPT[name]}: 2.0 " + (
            "fails when the model is imported, 2.1 warns." if name == "metadata" else "is silent, 2.1 warns."
        )
    return Finding(
        line=attribute.node.lineno,
        column=attribute.node.col_offset + 1,
        message=message,
        help=f"Instead: name it {FREE[name]}.\n{renamed(attribute)}",
    )


def unseen(model: str, name: str, line: int, column: int = 1) -> Finding:
    """Return what is said of an attribute that the class has, though its source does not show where from."""
    return Finding(
        line=line,
        column=column,
        message=f"{model}.{name} hides {_KEPT[name]}; nothing warns.",
        help=f"Instead: name it {FREE[name]}, in the class.\n{EXAMPLE[name]}",
    )


def refused(model: str, name: str, version: str) -> str:
    """Return what is said of an attribute with which the installed SQLAlchemy does not let a class be."""
    return (
        f"{model}.{name} hides {_KEPT[name]}: SQLAlchemy {version} raises and ends the import here, "
        "so what comes after it was not inspected."
    )


def _is_wrong(attribute: Attribute) -> bool:
    owner = attribute.owner
    if owner.is_declarative and not (owner.is_sqlmodel and not owner.is_mapped):
        return attribute.is_mapped or attribute.kind in ("other", "field")
    if owner.is_sqlmodel or not attribute.is_mapped:
        return False
    users = list(owner.models.users_of(owner))
    # Where it comes after the base in all models, no model has it: that is SM202's.
    return not users or any(owner in user.before_provider() for user in users)


def _inherited(model: ModelClass, name: str, project: Project) -> Iterator[Finding]:
    for ancestor in model.before_provider():
        attribute = ancestor.attributes.get(name)
        if attribute is None:
            continue
        is_field = model.is_sqlmodel and attribute.kind in ("field", "unknown")
        is_told = ancestor.module in project.modules and _is_wrong(attribute)
        if not is_told and (attribute.is_mapped or attribute.kind == "other" or is_field):
            yield Finding(
                line=model.node.lineno,
                column=model.node.col_offset + 1,
                message=f"{model.name} takes {name} from {ancestor.name}, which hides {_KEPT[name]}.",
                help=f"Instead: in {ancestor.name}, name it {FREE[name]}.\n{renamed(attribute)}",
            )
        return


def _added(module: Module, models: Models) -> Iterator[Finding]:
    """Yield a finding for each ``Model.metadata = Column(…)`` after the class."""
    for node in nodes_of(module).assignments:
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in RESERVED:
                scope = module.scope_of(node)
                model = models.named(target.value, scope)
                if model is not None and model.is_mapped and model.kind_of(node.value, scope) in ("column", "related"):
                    yield unseen(model.name, target.attr, node.lineno, node.col_offset + 1)
