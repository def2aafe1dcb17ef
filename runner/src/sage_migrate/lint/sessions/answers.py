"""What a route answers with, as far as a schema reads it from a mapped object."""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Binding, Module
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.mapping import column_names
from sage_migrate.lint.sessions.values import ClassReference, Entity, ListOf, Value

_VERBS = frozenset("get post put patch delete head options api_route route".split())
_READS = frozenset(("model_validate", "from_orm"))


def response_model(
    function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, inference: Inference
) -> Binding | None:
    """Return the schema that a route's answer is made of, None where it has none or is no route."""
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute)):
            continue
        if decorator.func.attr not in _VERBS:
            continue
        given = next((each.value for each in decorator.keywords if each.arg == "response_model"), function.returns)
        return _schema(given, module, inference)
    return None


def _schema(expression: ast.expr | None, module: Module, inference: Inference) -> Binding | None:
    match expression:
        case ast.Subscript(slice=ast.Tuple(elts=[first, *_])):
            return _schema(first, module, inference)
        case ast.Subscript(slice=inside):
            return _schema(inside, module, inference)
        case ast.BinOp(left=left):
            return _schema(left, module, inference)
        case ast.Name() | ast.Attribute():
            symbol = inference.project.resolve(expression, module.scope)
            return symbol if isinstance(symbol, Binding) and symbol.kind == "class" else None
        case _:
            return None


def schema_fields(schema: Binding, inference: Inference) -> frozenset[str]:
    """Return the attributes that a schema reads."""
    return column_names(schema, inference.project) - {"model_config", "Config"}


def read_by_schemas(
    function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, inference: Inference
) -> Iterator[tuple[ast.expr, Entity, Binding]]:
    """Yield the mapped objects that a schema reads in a function, or in what FastAPI makes of its answer."""
    scope = module.scope_of(function)
    model = response_model(function, module, inference)
    for node in own_nodes(function):
        match node:
            case ast.Return(value=ast.expr() as value) if model is not None:
                entity = _entity(inference.infer(value, scope))
                if entity is not None and entity.cls is not model:
                    yield value, entity, model
            case ast.Call(func=ast.Attribute(value=schema, attr=name), args=[argument, *_]) if name in _READS:
                cls = inference.infer(schema, scope)
                entity = _entity(inference.infer(argument, scope))
                if entity is not None and isinstance(cls, ClassReference):
                    yield argument, entity, cls.cls
            case _:
                continue


def _entity(value: Value | None) -> Entity | None:
    match value:
        case Entity():
            return value
        case ListOf(item=Entity() as item):
            return item
        case _:
            return None
