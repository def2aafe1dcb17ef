"""A JSON value is changed in place, which SQLAlchemy does not see."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import Attribute, Models, models_of
from sage_migrate.lint.models.calls import called_name, text_of
from sage_migrate.lint.models.columns import attribute_types
from sage_migrate.lint.models.instances import instance_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Binding, Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule

_TYPES = {
    "JSON": "MutableDict",
    "JSONB": "MutableDict",
    "HSTORE": "MutableDict",
    "ARRAY": "MutableList",
    "PickleType": "MutableDict",
}
_METHODS = frozenset(
    (
        *("append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "sort", "reverse"),
        "add",
    )
)


class JsonChangedInPlace(ModuleRule):
    """`document.extra["key"] = …` on a column without MutableDict."""

    code = "SM213"
    severity = "warning"
    condition = "The dict or list of a JSON, ARRAY or HSTORE column without a Mutable type is changed in place."
    effect = "SQLAlchemy sees no change: the commit saves nothing, and nothing warns."
    workaround = "Declare the column with `MutableDict.as_mutable(JSONB)`, or assign a new dict."
    bad = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


def label(document: Document, text: str) -> None:
    document.extra["label"] = text
"""
    good = """\
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    extra: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB), default=dict)


def label(document: Document, text: str) -> None:
    document.extra["label"] = text
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each change in place of a model's value."""
        models = models_of(project)
        nodes = nodes_of(module)
        for node in (*nodes.changes, *nodes.calls):
            changed = _changed(node)
            if changed is None:
                continue
            scope = module.scope_of(node)
            place = _attribute(changed, scope)
            if place is None:
                continue
            owner, name, where = place
            model = instance_of(owner, where, models)
            attribute = model.find(name) if model is not None and model.is_declarative else None
            if attribute is None or attribute.kind != "column":
                continue
            mutable = _mutable(attribute)
            if mutable and not _is_flagged(node, name, module, project) and not _is_new(owner, where, models):
                shown = f"{attribute.owner.name}.{name}"
                yield Finding(
                    line=getattr(node, "lineno", 1),
                    column=getattr(node, "col_offset", 0) + 1,
                    message=f"SQLAlchemy does not see this change inside of {shown}: the commit does not save it.",
                    help=f"Instead: let the column watch its value.\nmapped_column({mutable}.as_mutable(…), …)",
                )


def _changed(node: ast.AST) -> ast.expr | None:
    """Return the container that a node changes in place."""
    match node:
        case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
            return value
        case ast.AugAssign(target=(ast.Attribute() | ast.Name()) as target):
            return target
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _METHODS:
            return value
        case _:
            return None


def _attribute(expression: ast.expr, scope: Scope) -> tuple[ast.expr, str, Scope] | None:
    """Return the object and attribute that a container is the value of, also through a name and inner containers."""
    while isinstance(expression, ast.Subscript):
        expression = expression.value
    if isinstance(expression, ast.Name):
        bindings = scope.lookup(expression.id)
        if len(bindings) != 1 or not isinstance(bindings[0], Binding) or bindings[0].kind != "assigned":
            return None
        value, scope = bindings[0].value, bindings[0].scope
        if not isinstance(value, ast.Attribute) or bindings[0].unpacked:
            return None
        expression = value
    if isinstance(expression, ast.Attribute):
        return expression.value, expression.attr, scope
    return None


def _mutable(attribute: Attribute) -> str:
    types = attribute_types(attribute)
    if any(use.watched for use in types):
        return ""
    return next((_TYPES[use.name] for use in types if use.name in _TYPES), "")


def _function(node: ast.AST, module: Module) -> ast.AST:
    function = module.scope_of(node).function
    return function.node if function is not None else module.tree


def _is_flagged(node: ast.AST, name: str, module: Module, project: Project) -> bool:
    if "flag_modified" not in module.source:
        return False
    for each in ast.walk(_function(node, module)):
        if (
            isinstance(each, ast.Call)
            and called_name(each, module.scope_of(each), project) == "flag_modified"
            and (len(each.args) < 2 or text_of(each.args[1]) in (name, None))  # noqa: PLR2004  the object, then the key
        ):
            return True
    return False


def _is_new(owner: ast.expr, scope: Scope, models: Models) -> bool:
    """Tell whether the object is made here: all of it is saved."""
    if not isinstance(owner, ast.Name):
        return False
    return any(
        isinstance(binding.value, ast.Call) and models.named(binding.value.func, binding.scope) is not None
        for binding in scope.lookup(owner.id)
    )
