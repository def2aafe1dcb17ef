"""What a column's declaration says: name, key, types, keywords, foreign keys."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from sage_migrate.lint.models.calls import (
    called_name,
    keyword,
    library_name,
    made_by,
    returned_values,
    text_of,
    unquoted,
)
from sage_migrate.lint.models.classes import Ancestor, Attribute, GeneratedBase, ModelClass
from sage_migrate.lint.project import Binding, External, Project, Scope

_WRAPPERS = frozenset(("deferred", "column_property"))
_MAKERS = frozenset(("mapped_column", "Column"))
_KEYS = frozenset(("ForeignKey",))
_NO_TYPES = frozenset(
    ("ForeignKey", "Computed", "Identity", "Sequence", "CheckConstraint", "FetchedValue", "DefaultClause")
)
_DEPTH = 4


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TypeUse:
    """A type of SQLAlchemy's, as PostgreSQL would get it."""

    name: str
    """The class's name: JSON, DateTime."""
    dotted: str
    node: ast.expr
    scope: Scope
    watched: bool = False
    """Whether changes inside of a value are seen: ``MutableDict.as_mutable``."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Column:
    """One declaration; an attribute's own, and that of its ``Annotated`` type, are one each."""

    node: ast.Call
    scope: Scope
    name: str | None
    key: str | None
    types: tuple[ast.expr, ...]
    keywords: dict[str, ast.expr]
    foreign_keys: tuple[ast.Call, ...] = field(default=())


def read_column(call: ast.Call, scope: Scope, project: Project) -> Column:
    """Read a call of Column, mapped_column or SQLModel's Field."""
    keywords = {each.arg: each.value for each in call.keywords if each.arg is not None}
    positional = [each for each in call.args if not isinstance(each, ast.Starred)]
    name = text_of(keywords.get("name"))
    if positional and text_of(positional[0]) is not None:
        name = text_of(positional.pop(0))
    keys = tuple(
        each for each in positional if isinstance(each, ast.Call) and called_name(each, scope, project) in _KEYS
    )
    types = [each for each in positional if not _is_no_type(each, scope, project)]
    types += [keywords[each] for each in ("type_", "sa_type") if each in keywords]
    return Column(
        node=call,
        scope=scope,
        name=name,
        key=text_of(keywords.get("key")),
        types=tuple(types),
        keywords=keywords,
        foreign_keys=keys,
    )


def _is_no_type(expression: ast.expr, scope: Scope, project: Project) -> bool:
    if isinstance(expression, ast.Constant):
        return True
    return isinstance(expression, ast.Call) and called_name(expression, scope, project) in _NO_TYPES


def columns_of(attribute: Attribute) -> Iterator[Column]:
    """Yield what declares an attribute's column: its own call, then those of its type."""
    project, scope = attribute.owner.models.project, attribute.owner.scope
    if attribute.kind != "column":
        return
    if isinstance(attribute.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        inside = attribute.owner.module.scope_of(attribute.node)
        for value in returned_values(attribute.node):
            yield from _declared(value, inside, project)
        return
    yield from _declared(attribute.value, scope, project)
    yield from _of_annotation(attribute.annotation, scope, project, 0)


def _declared(value: ast.expr | None, scope: Scope, project: Project, depth: int = 0) -> Iterator[Column]:
    made = made_by(value, scope, project)
    if made is None or depth > _DEPTH:
        return
    call, inside = made
    name = called_name(call, inside, project)
    if name in _WRAPPERS:
        for each in call.args[:1]:
            yield from _declared(each, inside, project, depth + 1)
    elif name in _MAKERS:
        yield read_column(call, inside, project)
    elif name == "Field":
        own = keyword(call, "sa_column")
        if own is not None:
            yield from _declared(own, inside, project, depth + 1)
        else:
            yield read_column(call, inside, project)


def _of_annotation(annotation: ast.expr | None, scope: Scope, project: Project, depth: int) -> Iterator[Column]:
    """Yield the ``mapped_column`` of an ``Annotated`` type."""
    annotation = unquoted(annotation)
    if annotation is None or depth > _DEPTH:
        return
    inner: list[ast.expr] = []
    if isinstance(annotation, ast.Subscript):
        symbol = project.resolve(annotation.value, scope)
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if isinstance(symbol, External) and symbol.name.rpartition(".")[2] == "Annotated":
            for each in inner[1:]:
                yield from _declared(each, scope, project, depth + 1)
            return
        inner = inner[:1]
    elif isinstance(annotation, ast.BinOp):
        inner = [annotation.left, annotation.right]
    else:
        symbol = project.resolve(annotation, scope)
        if isinstance(symbol, Binding) and symbol.kind == "assigned":
            yield from _of_annotation(symbol.value, symbol.scope, project, depth + 1)
    for each in inner:
        yield from _of_annotation(each, scope, project, depth + 1)


def types_of(column: Column, project: Project) -> Iterator[TypeUse]:
    """Yield the types that a column's declaration names, as far as they are SQLAlchemy's."""
    for each in column.types:
        yield from type_uses(each, column.scope, project)


def type_uses(
    expression: ast.expr, scope: Scope, project: Project, depth: int = 0, *, watched: bool = False
) -> Iterator[TypeUse]:
    """Yield what a type comes down to on PostgreSQL, through names, variants and Mutable types."""
    if depth > _DEPTH:
        return
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute):
        inner, method = expression.func.value, expression.func.attr
        if method == "with_variant":
            for_postgresql = any(text_of(each) == "postgresql" for each in expression.args[1:])
            chosen = expression.args[0] if for_postgresql else inner
            yield from type_uses(chosen, scope, project, depth + 1, watched=watched)
            return
        if method == "as_mutable" and expression.args:
            yield from type_uses(expression.args[0], scope, project, depth + 1, watched=True)
            return
    symbol = project.resolve(expression.func if isinstance(expression, ast.Call) else expression, scope)
    name = library_name(symbol)
    if name is not None and isinstance(symbol, External):
        yield TypeUse(name=name, dotted=symbol.name, node=expression, scope=scope, watched=watched)
    elif isinstance(symbol, Binding) and symbol.kind == "assigned" and symbol.value is not None and not symbol.unpacked:
        yield from type_uses(symbol.value, symbol.scope, project, depth + 1, watched=watched)


def annotated_class(annotation: ast.expr | None, scope: Scope, project: Project, depth: int = 0) -> str | None:
    """Return the dotted name of the outside class in ``Mapped[…]``, without Optional and None."""
    annotation = unquoted(annotation)
    if depth > _DEPTH or annotation is None:
        return None
    if isinstance(annotation, ast.Subscript):
        symbol = project.resolve(annotation.value, scope)
        outer = symbol.name.rpartition(".")[2] if isinstance(symbol, External) else ""
        if outer in ("Mapped", "Optional", "Union", "Final"):
            inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            return next((found for each in inner if (found := annotated_class(each, scope, project, depth + 1))), None)
        return None
    if isinstance(annotation, ast.BinOp):
        return annotated_class(annotation.left, scope, project, depth + 1) or annotated_class(
            annotation.right, scope, project, depth + 1
        )
    symbol = project.resolve(annotation, scope)
    if isinstance(symbol, External) and symbol.name != "builtins.None":
        return symbol.name
    return None


def type_map(attribute: Attribute) -> list[tuple[ast.Dict, Scope]] | None:
    """Return the ``type_annotation_map`` that holds for an attribute; None where part of it is out of sight."""
    owner, project = attribute.owner, attribute.owner.models.project
    found: list[tuple[ast.Dict, Scope]] = []
    places: list[tuple[ast.expr | None, Scope]] = []
    for place, each in enumerate(owner.ancestors):
        if each is None or (isinstance(each, External) and place == owner.provider and library_name(each) is None):
            return None
        places += _of_ancestor(each, project)
    for decorator in owner.node.decorator_list:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(function, ast.Attribute):
            places += _of_registry(function.value, owner.module.scope_around(owner.node), project)
    for value, scope in places:
        symbol = project.resolve(value, scope)
        if isinstance(value, ast.Dict):
            found.append((value, scope))
        elif isinstance(symbol, Binding) and isinstance(symbol.value, ast.Dict):
            found.append((symbol.value, symbol.scope))
        elif value is not None:
            return None
    return found


def _of_ancestor(ancestor: Ancestor, project: Project) -> Iterator[tuple[ast.expr | None, Scope]]:
    if isinstance(ancestor, GeneratedBase):
        yield keyword(ancestor.call, "type_annotation_map"), ancestor.scope
        if isinstance(ancestor.call.func, ast.Attribute):
            yield from _of_registry(ancestor.call.func.value, ancestor.scope, project)
    elif isinstance(ancestor, ModelClass):
        if "type_annotation_map" in ancestor.attributes:
            yield ancestor.attributes["type_annotation_map"].value, ancestor.scope
        if "registry" in ancestor.attributes:
            yield from _of_registry(ancestor.attributes["registry"].value, ancestor.scope, project)


def _of_registry(expression: ast.expr | None, scope: Scope, project: Project) -> list[tuple[ast.expr | None, Scope]]:
    made = made_by(expression, scope, project)
    return [] if made is None else [(keyword(made[0], "type_annotation_map"), made[1])]


def map_type(attribute: Attribute) -> tuple[ast.expr, Scope] | None:
    """Return the type that the ``type_annotation_map`` has for an attribute's annotation."""
    inner = attribute.annotation.slice if isinstance(attribute.annotation, ast.Subscript) else None
    found = type_map(attribute) if inner is not None else None
    if inner is None or found is None:
        return None
    project = attribute.owner.models.project
    written = ast.unparse(inner).removesuffix(" | None")
    resolved = annotated_class(inner, attribute.owner.scope, project)
    for types, scope in found:
        for key, value in zip(types.keys, types.values, strict=True):
            if key is not None and (
                ast.unparse(key) == written
                or (resolved is not None and annotated_class(key, scope, project) == resolved)
            ):
                return value, scope
    return None


def attribute_types(attribute: Attribute) -> list[TypeUse]:
    """Return the types of an attribute's column: the declared ones, else that of the map."""
    project = attribute.owner.models.project
    declared = list(columns_of(attribute))
    if any(each.types for each in declared):
        return [use for each in declared for use in types_of(each, project)]
    mapped = map_type(attribute)
    return list(type_uses(*mapped, project)) if mapped is not None else []
