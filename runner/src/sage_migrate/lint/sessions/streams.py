"""Finds sessions that are open while a client takes a streamed answer, or is silent on a WebSocket."""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from sage_migrate.lint.project import Module, Scope
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.values import NOTHING, Callable, Context, Generator, Instance, Manager, Outside

_RESPONSES = frozenset(("StreamingResponse", "EventSourceResponse", "Stream", "ServerSentEvent"))
_KINDS = ("AsyncSession", "AsyncConnection")
_ENDS = frozenset(("close", "commit", "rollback", "aclose"))
_RECEIVES = frozenset(
    "receive receive_text receive_json receive_bytes receive_str iter_text iter_json iter_bytes iter_data".split()
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A session that is kept."""

    node: ast.expr | ast.stmt
    session: str
    by: str
    streams: bool


def kept_sessions(module: Module, inference: Inference) -> Iterator[Kept]:
    """Yield the sessions of a module that are kept while a client takes its time."""
    if not any(word in module.source for word in (*_RESPONSES, "WebSocket", "websocket")):
        return
    told: set[ast.AST] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and last_name(node) in _RESPONSES:
            content = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "content"), None)
            found = inference.infer(content, module.scope_around(node))
            if isinstance(found, Generator) and found.is_async and found.function.node not in told:
                told.add(found.function.node)
                yield from _kept_by_generator(found, node, module, inference)
        elif isinstance(node, ast.AsyncFunctionDef):
            yield from _kept_by_websocket(node, module, inference)


def _kept_by_generator(generator: Generator, call: ast.Call, module: Module, inference: Inference) -> Iterator[Kept]:
    function, context = generator.function, generator.context
    node = function.node
    assert isinstance(node, ast.AsyncFunctionDef)
    is_here = function.scope.module is module
    held = next(_held_at_yield(function, context, inference), None)
    if held is not None:
        place, session = held
        yield Kept(place if is_here else call, session, node.name, streams=True)
        return
    for each in own_nodes(node):
        if not (isinstance(each, (ast.Name, ast.Attribute)) and isinstance(each.ctx, ast.Load)):
            continue
        value = inference.infer(each, function.scope, context)
        if not (isinstance(value, Instance) and value.kind in _KINDS) or _is_own(each, function.scope):
            continue
        if not _is_ended(node, ast.unparse(each)):
            yield Kept(each if is_here else call, ast.unparse(each), node.name, streams=True)
        return


def _held_at_yield(function: Callable, context: Context, inference: Inference) -> Iterator[tuple[ast.AsyncWith, str]]:
    for each in own_nodes(function.node):
        if isinstance(each, ast.AsyncWith):
            session = _entered(each, function.scope, context, inference)
            if session and any(
                isinstance(inner, (ast.Yield, ast.YieldFrom)) for statement in each.body for inner in _inside(statement)
            ):
                yield each, session


def _entered(node: ast.AsyncWith, scope: Scope, context: Context, inference: Inference) -> str:
    """Return the name of the session that a `with` opens."""
    for item in node.items:
        entered = inference.infer(item.context_expr, scope, context)
        if isinstance(entered, Manager):
            entered = entered.value
        if isinstance(entered, Instance) and entered.kind in _KINDS:
            return ast.unparse(item.optional_vars or item.context_expr)
    return ""


def _is_own(node: ast.AST, scope: Scope) -> bool:
    """Tell whether a name is bound in the function itself, not given to it."""
    if not isinstance(node, ast.Name):
        return False
    bindings = scope.lookup(node.id)
    return bool(bindings) and bindings[-1].scope is scope and bindings[-1].kind != "parameter"


def _is_ended(function: ast.AST, session: str) -> bool:
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr in _ENDS
        and ast.unparse(each.func.value) == session
        for each in own_nodes(function)
    )


def _kept_by_websocket(node: ast.AsyncFunctionDef, module: Module, inference: Inference) -> Iterator[Kept]:
    scope = module.scope_of(node)
    nodes = own_nodes(node)
    loops = [
        each for each in nodes if isinstance(each, (ast.While, ast.AsyncFor)) and _receives(each, scope, inference)
    ]
    if not loops:
        return
    for each in nodes:
        if isinstance(each, ast.AsyncWith) and any(inner in loops for s in each.body for inner in _inside(s)):
            session = _entered(each, scope, NOTHING, inference)
            if session and not _is_ended(node, session):
                yield Kept(each, session, node.name, streams=False)
    for bindings in scope.bindings.values():
        binding = bindings[0]
        value = inference.binding(binding, NOTHING) if binding.kind == "parameter" else None
        if (
            isinstance(value, Instance)
            and value.kind in _KINDS
            and not _is_ended(node, binding.name)
            and any(isinstance(each, ast.Name) and each.id == binding.name for each in nodes)
            and not _is_begun_each_time(loops, binding.name)
        ):
            assert isinstance(binding.node, ast.arg)
            yield Kept(loops[0], binding.name, node.name, streams=False)


def _is_begun_each_time(loops: list[ast.While | ast.AsyncFor], session: str) -> bool:
    """Tell whether each message has a transaction of its own, whose end gives the connection back."""
    return any(
        isinstance(each, ast.AsyncWith)
        and any(ast.unparse(item.context_expr) == f"{session}.begin()" for item in each.items)
        for loop in loops
        for each in _inside(loop)
    )


def _receives(loop: ast.While | ast.AsyncFor, scope: Scope, inference: Inference) -> bool:
    if isinstance(loop, ast.AsyncFor):
        over = inference.infer(loop.iter, scope)
        if isinstance(over, Outside) and "WebSocket" in over.name:
            return True
    return any(
        isinstance(each, ast.Call) and last_name(each) in _RECEIVES and _is_websocket(each) for each in _inside(loop)
    )


def _is_websocket(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and any(
        word in ast.unparse(call.func.value).lower() for word in ("ws", "socket")
    )


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _inside(child)
