"""Tells of which model an expression's value is: by annotations, constructors, queries and relationships."""

import ast
from collections.abc import Iterator
from typing import Literal, NamedTuple

from sage_migrate.lint.models.calls import called_name, text_of, unquoted
from sage_migrate.lint.models.classes import ModelClass, Models
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Binding, External, Module, Scope

_DEPTH = 12
_STATEMENTS = frozenset(("select", "update", "delete", "insert"))
_FETCH_ONE = frozenset(("get", "get_one", "merge"))
_ONE = frozenset(("first", "one", "one_or_none", "scalar", "scalar_one", "scalar_one_or_none", "get"))
_MANY = frozenset(("all", "scalars", "unique", "fetchall", "fetchmany", "partitions", "yield_per"))
_SEQUENCES = frozenset(("list", "tuple", "sorted", "set", "reversed", "iter", "next"))
_CONTAINERS = frozenset(
    (
        *("list", "List", "Sequence", "Iterable", "Iterator", "AsyncIterator", "AsyncIterable", "set", "Set", "tuple"),
        *("Tuple", "Collection", "ScalarResult", "AsyncScalarResult", "Query", "Select", "Generator"),
    )
)
_TRANSPARENT = frozenset(("Optional", "Union", "Annotated", "Mapped", "Final", "ClassVar", "Awaitable"))


class Found(NamedTuple):
    """A class, and whether the value is one object of it, many, or a statement or result that gives such."""

    model: ModelClass
    shape: Literal["one", "many", "statement", "class"]


def instance_of(expression: ast.expr, scope: Scope, models: Models) -> ModelClass | None:
    """Return the class of which ``expression`` is an object."""
    found = _infer(expression, scope, models, 0)
    return found.model if found is not None and found.shape == "one" else None


def selected_by(expression: ast.expr, scope: Scope, models: Models) -> ModelClass | None:
    """Return the class that a statement or query is about."""
    found = _infer(expression, scope, models, 0)
    return found.model if found is not None and found.shape == "statement" else None


def _infer(  # noqa: C901, PLR0911  a case for each kind of expression
    expression: ast.expr, scope: Scope, models: Models, depth: int
) -> Found | None:
    if depth > _DEPTH:
        return None
    match expression:
        case ast.Await(value=value) | ast.NamedExpr(value=value) | ast.Starred(value=value):
            return _infer(value, scope, models, depth + 1)
        case ast.IfExp(body=body, orelse=orelse):
            return _agreed([_infer(body, scope, models, depth + 1), _infer(orelse, scope, models, depth + 1)])
        case ast.BoolOp(values=values):
            return next((found for each in values if (found := _infer(each, scope, models, depth + 1))), None)
        case ast.Name(id=name):
            return _of_name(name, scope, models, depth)
        case ast.Subscript(value=value, slice=index):
            found = _infer(value, scope, models, depth + 1)
            if found is not None and found.shape == "many":
                return found if isinstance(index, ast.Slice) else Found(found.model, "one")
            return None
        case ast.Attribute(value=value, attr=name):
            owner = _infer(value, scope, models, depth + 1)
            attribute = owner.model.find(name) if owner is not None and owner.shape == "one" else None
            if attribute is not None and attribute.annotation is not None:
                return _of_annotation(attribute.annotation, attribute.owner.scope, models, depth + 1)
            return None
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.SetComp(elt=element):
            found = _infer(element, scope.module.scope_of(expression), models, depth + 1)
            return Found(found.model, "many") if found is not None and found.shape == "one" else None
        case ast.Call():
            return _of_call(expression, scope, models, depth)
        case _:
            return None


def _agreed(found: list[Found | None]) -> Found | None:
    known = [each for each in found if each is not None]
    return known[0] if known and all(each == known[0] for each in known) else None


def _of_name(name: str, scope: Scope, models: Models, depth: int) -> Found | None:
    bindings = scope.lookup(name)
    found: list[Found | None] = []
    for binding in bindings:
        if binding.kind in ("import", "class", "function"):
            return None
        if isinstance(binding.value, ast.Constant) and binding.value.value is None and binding.kind == "assigned":
            continue
        each = _of_binding(binding, models, depth + 1)
        if each is None:
            return None
        found.append(each)
    return _agreed(found)


def _of_binding(binding: Binding, models: Models, depth: int) -> Found | None:
    if binding.annotation is not None:
        outside = binding.scope.parent if binding.kind == "parameter" else None
        return _of_annotation(binding.annotation, outside or binding.scope, models, depth)
    if binding.kind == "parameter":
        return _self(binding, models)
    if binding.value is None or binding.unpacked:
        return None
    # A comprehension's first iterable stands in the scope around it.
    around = binding.scope.module.scope_of(binding.value)
    found = _infer(binding.value, around, models, depth + 1)
    if found is None:
        return None
    if binding.kind == "iterated":
        return Found(found.model, "one") if found.shape in ("many", "statement") else None
    return found if binding.kind == "assigned" else None


def _self(binding: Binding, models: Models) -> Found | None:
    function = binding.scope.node
    around = binding.scope.parent
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or around is None:
        return None
    positional = [*function.args.posonlyargs, *function.args.args]
    static = any(
        isinstance(each, ast.Name) and each.id in ("staticmethod", "classmethod") for each in function.decorator_list
    )
    if isinstance(around.node, ast.ClassDef) and positional and positional[0] is binding.node and not static:
        return Found(models.of(around.node, around.module), "one")
    return None


def _of_annotation(  # noqa: PLR0911  a case for each kind of annotation
    annotation: ast.expr | None, scope: Scope, models: Models, depth: int
) -> Found | None:
    annotation = unquoted(annotation)
    if depth > _DEPTH or annotation is None:
        return None
    match annotation:
        case ast.BinOp(left=left, right=right):
            return _agreed(
                [_of_annotation(left, scope, models, depth + 1), _of_annotation(right, scope, models, depth + 1)]
            )
        case ast.Subscript(value=value, slice=inner):
            symbol = models.project.resolve(value, scope)
            outer = symbol.name.rpartition(".")[2] if isinstance(symbol, External) else ""
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            found = _of_annotation(parts[0], scope, models, depth + 1) if parts else None
            if outer in _TRANSPARENT:
                return found
            return Found(found.model, "many") if found is not None and outer in _CONTAINERS else None
        case ast.Name() | ast.Attribute():
            model = models.named(annotation, scope)
            if model is not None:
                return Found(model, "one")
            symbol = models.project.resolve(annotation, scope)
            if isinstance(symbol, Binding) and symbol.kind == "assigned" and symbol.value is not None:
                return _of_annotation(symbol.value, symbol.scope, models, depth + 1)
            return None
        case _:
            return None


def _of_call(  # noqa: C901, PLR0911, PLR0912  a case for each kind of call
    call: ast.Call, scope: Scope, models: Models, depth: int
) -> Found | None:
    model = models.named(call.func, scope)
    if model is not None:
        return Found(model, "one")
    first = call.args[0] if call.args else None
    if called_name(call, scope, models.project) in _STATEMENTS:
        entity = models.named(first, scope) if len(call.args) == 1 else None
        return Found(entity, "statement") if entity is not None else None
    if isinstance(call.func, ast.Name):
        symbol = models.project.resolve(call.func, scope)
        if isinstance(symbol, External) and symbol.name.rpartition(".")[2] in _SEQUENCES and first is not None:
            found = _infer(first, scope, models, depth + 1)
            if found is None or found.shape not in ("many", "statement"):
                return None
            return Found(found.model, "one" if symbol.name == "builtins.next" else "many")
    symbol = models.project.resolve(call.func, scope)
    if isinstance(symbol, Binding) and isinstance(symbol.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return _of_annotation(symbol.node.returns, symbol.scope, models, depth + 1)
    if not isinstance(call.func, ast.Attribute):
        return None
    method = call.func.attr
    if method == "query" and len(call.args) == 1:
        entity = models.named(first, scope)
        return Found(entity, "statement") if entity is not None else None
    if method in _FETCH_ONE and first is not None:
        entity = models.named(first, scope)
        if entity is not None:
            return Found(entity, "one")
        if method == "merge":
            return _infer(first, scope, models, depth + 1)
    if method in ("scalar", "scalars", "execute", "exec", "stream", "stream_scalars") and first is not None:
        found = _infer(first, scope, models, depth + 1)
        if found is not None and found.shape == "statement":
            return Found(found.model, "one" if method == "scalar" else "many" if "scalars" in method else "statement")
    owner = _infer(call.func.value, scope, models, depth + 1)
    if owner is None:
        return None
    if owner.shape == "one":
        method_found = owner.model.find(method)
        if method_found is not None and isinstance(method_found.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return _of_annotation(method_found.node.returns, method_found.owner.scope, models, depth + 1)
        return None
    if method in _ONE:
        return Found(owner.model, "one")
    if method in _MANY:
        return Found(owner.model, "many")
    return owner if owner.shape == "statement" else None


def attribute_uses(module: Module) -> Iterator[tuple[ast.AST, ast.expr, str]]:
    """Yield each place that names an attribute: ``x.name``, ``getattr(x, "name")``, ``setattr(x, "name", …)``."""
    for attribute in nodes_of(module).attributes:
        yield attribute, attribute.value, attribute.attr
    for node in nodes_of(module).calls:
        if (
            isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "setattr")
            and len(node.args) > 1
            and (name := text_of(node.args[1])) is not None
        ):
            yield node, node.args[0], name
