"""Tells which functions of a module the event loop runs while others wait for it."""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.sessions.inference import Inference, decorator_names, own_nodes
from sage_migrate.lint.sessions.values import Callable, Outside

_RUNS = frozenset(("asyncio.run", "anyio.run", "asyncio.Runner().run", "uvloop.run"))
_CONCURRENT = frozenset(
    "gather create_task ensure_future TaskGroup create_task_group start_soon Queue start_server as_completed serve"
    " run_forever add_task wait Server run_app".split()
)
_STARTED_IN_LOOP = frozenset(("on_event", "on_startup", "on_shutdown"))
_LITESTAR = frozenset("get post put patch delete head route websocket".split())


def functions_in_loop(module: Module, inference: Inference) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions that run in an event loop which others share."""
    if module.is_test or module.is_alembic_environment:
        return
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, Function)]
    alone = _alone(module, nodes, inference)
    started = _started(module, inference)
    for node in nodes:
        if isinstance(node, ast.AsyncFunctionDef):
            if node not in alone:
                yield node
        elif node in started or _is_called_in_loop(node, module, inference):
            yield node


def _started(module: Module, inference: Inference) -> set[ast.AST]:
    """Return functions given to `on_startup=[…]`, `add_event_handler("startup", …)` or `Provide(…)` of Litestar's."""
    found: set[ast.AST] = set()
    if not any(word in module.source for word in ("startup", "shutdown", "Provide")):
        return found
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        given: list[ast.expr] = []
        for keyword in node.keywords:
            if keyword.arg in _STARTED_IN_LOOP and isinstance(keyword.value, (ast.List, ast.Tuple)):
                given += keyword.value.elts
        name = last_name(node.func)
        if name == "add_event_handler" and len(node.args) > 1:
            given.append(node.args[1])
        elif name == "Provide" and node.args and not _is_sent_to_thread(node):
            given.append(node.args[0])
        for each in given:
            value = inference.infer(each, module.scope_around(each))
            if isinstance(value, Callable) and value.scope.module is module:
                found.add(value.node)
    return found


def _is_called_in_loop(node: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, inference: Inference) -> bool:
    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        if isinstance(decorator.func, ast.Attribute) and decorator.func.attr in _STARTED_IN_LOOP:
            return True
        function = inference.infer(decorator.func, module.scope_around(node))
        if isinstance(function, Outside) and function.name.startswith("litestar."):
            return function.name.rpartition(".")[2] in _LITESTAR and not _is_sent_to_thread(decorator)
    return False


def _is_sent_to_thread(call: ast.Call) -> bool:
    return any(
        each.arg == "sync_to_thread" and isinstance(each.value, ast.Constant) and each.value.value is True
        for each in call.keywords
    )


def _alone(module: Module, nodes: list[ast.FunctionDef | ast.AsyncFunctionDef], inference: Inference) -> set[ast.AST]:
    """Return the async functions of a script: `asyncio.run(main())` and what only they call, nothing beside it.

    While such a coroutine waits, nobody else's turn is delayed.
    """
    if "run(" not in module.source and "run_until_complete(" not in module.source:
        return set()
    asynchronous = {node for node in nodes if isinstance(node, ast.AsyncFunctionDef)}
    used: dict[ast.AST, set[ast.AST | None]] = {}
    run: set[ast.AST] = set()
    for node in ast.walk(module.tree):
        if not (isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load)):
            continue
        value = inference.infer(node, module.scope_around(node))
        if isinstance(value, Callable) and value.node in asynchronous:
            around = module.scope_around(node).function
            if _is_run(node, module, inference):
                run.add(value.node)
            else:
                used.setdefault(value.node, set()).add(around.node if around else None)
    alone: set[ast.AST] = {node for node in run if not _is_concurrent(node) and not used.get(node)}
    while True:
        more = {
            node
            for node in asynchronous - alone
            if used.get(node)
            and used[node] <= alone
            and not _is_concurrent(node)
            and decorator_names(node) <= {"asynccontextmanager"}
        }
        if not more:
            return alone
        alone |= more


def _is_run(node: ast.AST, module: Module, inference: Inference) -> bool:
    """Tell whether a function's name stands in `asyncio.run(main())`."""
    call = module.parent(node)
    outer = module.parent(call) if isinstance(call, ast.Call) and call.func is node else call
    if not isinstance(outer, ast.Call):
        return False
    if isinstance(outer.func, ast.Attribute) and outer.func.attr == "run_until_complete":
        return True
    function = inference.infer(outer.func, module.scope_around(outer))
    return isinstance(function, Outside) and function.name in _RUNS


def _is_concurrent(function: ast.AST) -> bool:
    for node in own_nodes(function):
        if isinstance(node, ast.Call):
            name = last_name(node.func)
            if name in _CONCURRENT:
                return True
        elif isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
            return True
    return False
