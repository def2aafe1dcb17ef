"""Which functions answer requests, and which ones are dependencies of those."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Binding, Module, Project
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import Inference
from sage_migrate.lint.sessions.values import Callable, Outside

_VERBS = frozenset("get post put patch delete head options api_route route websocket".split())  # noqa: SIM905
_ADDED = {"add_api_route": 1, "add_route": 1, "add_get": 1, "add_post": 1, "add_put": 1, "add_delete": 1, "Route": 1}
_ENDPOINTS = frozenset(("HTTPEndpoint", "WebSocketEndpoint", "Controller", "View"))
_FRAMEWORKS = ("fastapi", "starlette", "litestar", "aiohttp", "router")
_PROVIDES = frozenset(("Depends", "Security"))
_DEPTH = 4


def route_handlers(module: Module, inference: Inference) -> dict[ast.AST, None]:
    """Return the functions of a module that answer requests."""
    found: dict[ast.AST, None] = {}
    if module.is_test or not any(word in module.source for word in _FRAMEWORKS):
        return found
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            if any(_is_route(each, module, inference) for each in node.decorator_list):
                found[node] = None
        elif isinstance(node, ast.ClassDef):
            if any(last_name(base) in _ENDPOINTS for base in node.bases):
                methods = [each for each in node.body if isinstance(each, Function)]
                found.update({each: None for each in methods if each.name in _VERBS})
        elif isinstance(node, ast.Call) and last_name(node.func) in _ADDED and len(node.args) > 1:
            value = inference.infer(node.args[1], module.scope_around(node))
            if isinstance(value, Callable) and value.scope.module is module:
                found[value.node] = None
    return found


def _is_route(decorator: ast.expr, module: Module, inference: Inference) -> bool:
    if not isinstance(decorator, ast.Call) or last_name(decorator.func) not in _VERBS:
        return False
    owner = inference.infer(decorator.func, module.scope_around(decorator))
    if isinstance(owner, Outside):
        return owner.name.startswith(("fastapi.", "starlette.", "litestar.", "aiohttp."))
    path = decorator.args[0] if decorator.args else None
    return isinstance(decorator.func, ast.Attribute) and isinstance(path, ast.Constant) and isinstance(path.value, str)


def dependencies(project: Project) -> dict[Module, dict[ast.AST, str]]:
    """Return the functions that are dependencies of routes anywhere in the project, and the name of one such route.

    By the module that they are in.
    """
    inference = project.once(Analysis).inference
    found: dict[Module, dict[ast.AST, str]] = {}
    for module in project.modules:
        if "Depends" in module.source or "Security" in module.source or "Annotated" in module.source:
            for handler in route_handlers(module, inference):
                assert isinstance(handler, Function)
                _add(handler, module, handler.name, project, found)
    return found


def _add(  # noqa: PLR0913, PLR0917  what it looks for, and where
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    module: Module,
    route: str,
    project: Project,
    found: dict[Module, dict[ast.AST, str]],
    depth: int = 0,
) -> None:
    inference = project.once(Analysis).inference
    for expression, where in _depended(function, module, project):
        value = inference.infer(expression, where.scope)
        if isinstance(value, Callable) and isinstance(value.node, Function):
            known = found.setdefault(value.scope.module, {})
            if value.node not in known and depth < _DEPTH:
                known[value.node] = route
                _add(value.node, value.scope.module, route, project, found, depth + 1)


def _depended(
    function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, project: Project
) -> Iterator[tuple[ast.expr, Module]]:
    """Yield what the parameters of a function, and its decorators, depend on."""
    arguments = function.args
    for default in [*arguments.defaults, *arguments.kw_defaults, *function.decorator_list]:
        yield from _calls(default, module)
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        annotation: ast.expr | None = argument.annotation
        where = module
        for _ in range(_DEPTH):
            yield from _calls(annotation, where)
            symbol = (
                project.resolve(annotation, where.scope) if isinstance(annotation, (ast.Name, ast.Attribute)) else None
            )
            if not isinstance(symbol, Binding) or symbol.kind != "assigned":
                break
            annotation, where = symbol.value, symbol.scope.module


def _calls(expression: ast.expr | None, module: Module) -> Iterator[tuple[ast.expr, Module]]:
    for node in ast.walk(expression) if expression is not None else ():
        if isinstance(node, ast.Call) and last_name(node.func) in _PROVIDES and node.args:
            yield node.args[0], module
