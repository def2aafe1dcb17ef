"""Code reads, writes or passes `metadata` of a model whose column has another attribute."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import RESERVED, ModelClass, Models, models_of
from sage_migrate.lint.models.calls import text_of
from sage_migrate.lint.models.columns import columns_of
from sage_migrate.lint.models.instances import attribute_uses, instance_of, selected_by
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.models.renaming import FREE
from sage_migrate.lint.project import Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule

_KEPT = {"metadata": "the MetaData", "registry": "the registry"}
# What a MetaData and a registry are asked for: then it is meant so.
_MEANT = frozenset(
    (
        *("tables", "sorted_tables", "create_all", "drop_all", "reflect", "clear", "remove", "schema", "bind", "info"),
        *("naming_convention", "dispatch", "configure", "map_imperatively", "mappers", "mapped", "dispose", "metadata"),
        *("generate_base", "mapped_as_dataclass", "constructor", "type_annotation_map", "as_declarative_base"),
    )
)
_BY_NAME = frozenset(("filter_by", "values"))
_IN_QUERY = frozenset(
    ("select", "where", "filter", "order_by", "group_by", "having", "values", "with_entities", "load_only", "defer")
)


class ReservedNameUsed(ModuleRule):
    """`model.metadata` is used as if it were the column."""

    code = "SM205"
    severity = "error"
    condition = (
        "`.metadata` or `.registry` of a model is read, written, queried or given to its constructor, although the model "
        "maps no attribute of that name."
    )
    effect = (
        "What is read is SQLAlchemy's MetaData. What is written, or given to the constructor, is accepted and lost: "
        "no column has it."
    )
    workaround = "Use the attribute that maps the column."
    bad = """\
from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra_metadata: Mapped[str] = mapped_column("metadata", Text)


def create(text: str) -> Document:
    return Document(metadata=text)
"""
    good = """\
from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra_metadata: Mapped[str] = mapped_column("metadata", Text)


def create(text: str) -> Document:
    return Document(extra_metadata=text)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each use."""
        if not any(name in module.source for name in RESERVED):
            return
        models = models_of(project)
        for node, owner, name in attribute_uses(module):
            if name in RESERVED and not _is_meant(node, module):
                scope = module.scope_of(node)
                model = instance_of(owner, scope, models)
                if model is not None:
                    if _is_lost(model, name):
                        yield _of_object(node, model, name)
                else:
                    model = models.named(owner, scope)
                    if model is not None and _is_lost(model, name) and _is_in_query(node, module):
                        yield _finding(
                            node,
                            model,
                            name,
                            f"{model.name}.{name} is {_KEPT[name]}: no query can compare or select it.",
                        )
        for node in nodes_of(module).calls:
            yield from _given(node, module.scope_of(node), models)


def _of_object(node: ast.AST, model: ModelClass, name: str) -> Finding:
    writes = isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr"
    )
    if writes:
        return _finding(
            node, model, name, f"{model.name} has no column behind {name}: what is written here is not saved."
        )
    return _finding(node, model, name, f"{name} of a {model.name} is {_KEPT[name]} of all models, not the column.")


def _given(call: ast.Call, scope: Scope, models: Models) -> Iterator[Finding]:
    names = [each.arg for each in call.keywords if each.arg in RESERVED]
    if not names:
        return
    model = models.named(call.func, scope)
    constructs = model is not None and not _has_own_constructor(model)
    if model is None and isinstance(call.func, ast.Attribute) and call.func.attr in _BY_NAME:
        model = selected_by(call.func.value, scope, models)
    elif not constructs:
        return
    for name in names:
        if name is not None and model is not None and _is_lost(model, name):
            what = (
                "accepts this argument and loses it" if constructs else "has no attribute of this name to query or set"
            )
            yield _finding(call, model, name, f"{model.name} {what}: {name} is SQLAlchemy's, the column is another's.")


def _finding(node: ast.AST, model: ModelClass, name: str, message: str) -> Finding:
    attribute = _attribute_for(model, name)
    return Finding(
        line=getattr(node, "lineno", 1),
        column=getattr(node, "col_offset", 0) + 1,
        message=message,
        help=f"Instead: use {model.name}.{attribute}."
        if attribute
        else f"Instead: map a column, {FREE[name]}, and use that.",
    )


def _attribute_for(model: ModelClass, name: str) -> str | None:
    """Return the attribute that maps the column ``name``, or one that is called nearly so."""
    near: str | None = None
    for each in model.classes:
        for attribute in each.attributes.values():
            if attribute.is_mapped and any(column.name == name for column in columns_of(attribute)):
                return attribute.name
            if attribute.is_mapped and name in attribute.name:
                near = near or attribute.name
    return near


def _is_lost(model: ModelClass, name: str) -> bool:
    """Tell whether a model has SQLAlchemy's own object under ``name``, and not a column or anything else."""
    if not model.is_mapped:
        return False
    if model.is_automapped or "__table__" in model.attributes:
        return False
    for each in model.before_provider():
        attribute = each.attributes.get(name)
        if attribute is not None and attribute.kind not in ("object", "annotation"):
            return False
    return True


def _has_own_constructor(model: ModelClass) -> bool:
    if any("__init__" in each.attributes for each in model.classes):
        return True
    # SQLModel takes what an alias names.
    return any(
        text_of(each.value) in RESERVED
        for own in model.classes
        for attribute in own.attributes.values()
        if isinstance(attribute.value, ast.Call)
        for each in attribute.value.keywords
        if each.arg in ("alias", "validation_alias")
    )


def _is_meant(node: ast.AST, module: Module) -> bool:
    parent = module.parent(node)
    return isinstance(parent, ast.Attribute) and parent.attr in _MEANT


def _is_in_query(node: ast.AST, module: Module) -> bool:
    """Tell whether a class's attribute is used as a column is."""
    parent = module.parent(node)
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return True
    if isinstance(parent, ast.Compare):
        return not any(isinstance(each, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for each in parent.ops)
    if isinstance(parent, ast.Attribute):
        return not parent.attr.startswith("_")
    if isinstance(parent, ast.Call) and node in parent.args:
        function = parent.func
        name = (
            function.attr
            if isinstance(function, ast.Attribute)
            else function.id
            if isinstance(function, ast.Name)
            else ""
        )
        return name in _IN_QUERY
    return False
