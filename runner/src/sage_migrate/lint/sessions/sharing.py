"""Finds AsyncSessions that more than one task uses."""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sage_migrate.lint.project import Binding, Module, Scope
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.values import (
    Callable,
    Instance,
    ListOf,
    Method,
    Object,
    Outside,
    Partial,
    Value,
)

_KINDS = ("AsyncSession", "AsyncConnection")
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_TOGETHER = frozenset(("gather", "wait", "as_completed"))
_STARTS = frozenset(("create_task", "ensure_future", "start_soon", "spawn"))
# What these keep in their state they keep for all requests; a request's own state is its own.
_APPLICATIONS = frozenset(("app", "application", "api"))
_DEPTH = 3
_MANY = 2


@dataclass(frozen=True, slots=True)
class Sharing:
    """A place where a session is given away."""

    node: ast.expr | ast.stmt
    session: str
    how: Literal["tasks", "detached", "background", "module"]
    by: str = ""


def shared_sessions(module: Module, inference: Inference) -> Iterator[Sharing]:
    """Yield the places in a module where a session is shared."""
    yield from _kept_in_module(module, inference)
    for function in ast.walk(module.tree):
        if isinstance(function, Function):
            yield from _Tasks(function, module, inference).shared()


class _Tasks:
    """What one function starts."""

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, inference: Inference) -> None:
        self._function, self._module, self._inference = function, module, inference
        self._scope = module.scope_of(function)
        self._nodes = own_nodes(function)

    def shared(self) -> Iterator[Sharing]:  # noqa: C901  together, started, in the background
        calls = [each for each in self._nodes if isinstance(each, ast.Call)]
        together = [each for each in calls if last_name(each) in _TOGETHER and self._is_asyncio(each)]
        inside = {id(each) for call in together for each in ast.walk(call) if each is not call}
        for call in together:
            counted = self._together(call)
            for origin, (count, name) in counted.items():
                if count >= _MANY:
                    yield Sharing(call, name, "tasks", f"{ast.unparse(call.func)}()")
                    inside.update(
                        id(each) for each in calls if last_name(each) in _STARTS and origin in self._of_task(each)
                    )
                    break
        started = [each for each in calls if last_name(each) in _STARTS and id(each) not in inside]
        counts = Counter[object]()
        names: dict[object, tuple[str, list[ast.Call]]] = {}
        for call in started:
            for origin, name in self._of_task(call).items():
                counts[origin] += _MANY if self._is_repeated(call, origin) else 1
                names.setdefault(origin, (name, []))[1].append(call)
        for origin, (name, where) in names.items():
            by = f"{ast.unparse(where[-1].func)}()"
            if counts[origin] >= _MANY:
                yield Sharing(where[-1], name, "tasks", by)
            elif self._is_detached(where[0], name) and not self._is_given_away(origin):
                yield Sharing(where[0], name, "detached", by)
        for call in calls:
            if self._is_background(call):
                for origin, name in self._of_arguments(call, call.args, with_receiver=False).items():
                    if not self._is_given_away(origin):
                        yield Sharing(call, name, "background")
                        break

    def _is_asyncio(self, call: ast.Call) -> bool:
        found = self._inference.infer(call.func, self._scope)
        return isinstance(found, Outside) and found.name.startswith(("asyncio.", "anyio."))

    def _together(self, call: ast.Call) -> dict[object, tuple[int, str]]:
        counted: dict[object, tuple[int, str]] = {}
        for argument in call.args:
            for expression, many in self._coroutines(argument):
                for origin, name in self._of_coroutine(expression).items():
                    repeated = many and self._is_repeated(expression, origin)
                    counted[origin] = (counted.get(origin, (0, ""))[0] + (_MANY if repeated else 1), name)
        return counted

    def _coroutines(  # noqa: C901, PLR0912  the ways to list them
        self, expression: ast.expr, depth: int = 0
    ) -> Iterator[tuple[ast.expr, bool]]:
        """Yield what is run, and whether it is so more than once."""
        match expression:
            case ast.Starred(value=value):
                yield from self._coroutines(value, depth)
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                for each in elements:
                    yield from self._coroutines(each, depth)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.SetComp(elt=element):
                yield element, True
            case ast.BinOp(left=left, right=right):
                yield from self._coroutines(left, depth)
                yield from self._coroutines(right, depth)
            case ast.Name(id=name) if depth < _DEPTH:
                for binding in self._scope.lookup(name):
                    if binding.value is not None and binding.kind == "assigned" and not binding.unpacked:
                        yield from self._coroutines(binding.value, depth + 1)
                for node in self._nodes:
                    match node:
                        case ast.Call(
                            func=ast.Attribute(value=ast.Name(id=owner), attr="append" | "add"), args=[added]
                        ):
                            if owner == name:
                                yield added, self._around(node, _LOOPS) is not None
            case ast.Call(args=[first, *_]) if last_name(expression) in {*_STARTS, "wait_for", "shield"}:
                yield from self._coroutines(first, depth)
            case ast.Call():
                yield expression, False
            case _:
                return

    def _of_task(self, call: ast.Call) -> dict[object, str]:
        if last_name(call) == "start_soon":
            return self._of_arguments(call, call.args, with_receiver=False)
        found: dict[object, str] = {}
        for argument in call.args[:1]:
            for coroutine, _ in self._coroutines(argument):
                found.update(self._of_coroutine(coroutine))
        return found

    def _of_coroutine(self, expression: ast.expr) -> dict[object, str]:
        match expression:
            case ast.Call(args=[first, *_]) if last_name(expression) in {*_STARTS, "wait_for", "shield"}:
                return self._of_coroutine(first)
            case ast.Call():
                return self._of_arguments(expression, expression.args, with_receiver=True)
            case _:
                return {}

    def _of_arguments(self, call: ast.Call, arguments: list[ast.expr], *, with_receiver: bool) -> dict[object, str]:
        """Return the sessions that a coroutine gets: as arguments, in the object whose method it is, or in its closure."""
        found: dict[object, str] = {}
        given = [*arguments, *(each.value for each in call.keywords)]
        if with_receiver and isinstance(call.func, ast.Attribute):
            given.append(call.func.value)
        called = [self._inference.infer(call.func, self._scope)] if with_receiver else []
        for expression in given:
            inner = expression
            if isinstance(inner, ast.Attribute) and isinstance(self._inference.infer(inner, self._scope), Callable):
                inner = inner.value  # a bound method
            value = self._inference.infer(inner, self._scope)
            if isinstance(value, Method):
                value = value.of
            if isinstance(value, Callable):
                called.append(value)
            if self._is_iterated(inner):
                continue
            for origin in self._sessions_in(value):
                found.setdefault(origin, ast.unparse(inner))
        for function in called:
            if isinstance(function, Callable):
                found.update(self._of_closure(function))
        return {origin: name for origin, name in found.items() if not _is_within(origin, call)}

    def _is_iterated(self, expression: ast.expr) -> bool:
        if not isinstance(expression, ast.Name):
            return False
        scope = self._module.scope_around(expression, self._scope)
        return any(each.kind == "iterated" for each in scope.lookup(expression.id))

    def _of_closure(self, function: Callable) -> dict[object, str]:
        found: dict[object, str] = {}
        for node in own_nodes(function.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                bindings = function.scope.lookup(node.id)
                if bindings and bindings[-1].scope.function is not None and bindings[-1].scope is not function.scope:
                    value = self._inference.infer(node, function.scope, function.context)
                    for origin in self._sessions_in(value):
                        found.setdefault(origin, node.id)
        return found

    def _sessions_in(self, value: Value | None, depth: int = 0) -> Iterator[object]:
        match value:
            case Instance(kind="AsyncSession" | "AsyncConnection", origin=origin) if origin is not None:
                yield origin
            case Object() if depth < _DEPTH:
                for each in self._inference.attributes_of(value):
                    yield from self._sessions_in(each, depth + 1)
            case ListOf(item=item) if depth < _DEPTH:
                yield from self._sessions_in(item, depth + 1)
            case Partial(call=call, scope=scope, context=context) if depth < _DEPTH:
                for argument in call.args[1:]:
                    yield from self._sessions_in(self._inference.infer(argument, scope, context), depth + 1)
            case _:
                return

    def _around(self, node: ast.AST, kinds: tuple[type[ast.AST], ...]) -> ast.AST | None:
        parent = self._module.parent(node)
        while parent is not None and parent is not self._function:
            if isinstance(parent, kinds):
                return parent
            parent = self._module.parent(parent)
        return None

    def _is_repeated(self, node: ast.AST, origin: object) -> bool:
        """Tell whether a loop runs ``node`` again with the session that it had before."""
        loop = self._around(node, _LOOPS)
        return loop is not None and not _is_within(origin, loop)

    def _is_detached(self, call: ast.Call, session: str) -> bool:
        """Tell whether nobody waits for the task before the session is used by somebody else."""
        parent = self._module.parent(call)
        if isinstance(parent, ast.Await):
            return False
        if isinstance(call.func, ast.Attribute) and not self._is_asyncio(call):
            owner = call.func.value
            block = self._around(call, (ast.AsyncWith,))
            if isinstance(block, ast.AsyncWith) and any(
                item.optional_vars is not None and ast.unparse(item.optional_vars) == ast.unparse(owner)
                for item in block.items
            ):
                # The group waits at its end; until then the session is the task's.
                return any(
                    ast.unparse(each) == session and each.lineno > (call.end_lineno or call.lineno)
                    for statement in block.body
                    for each in ast.walk(statement)
                    if isinstance(each, (ast.Name, ast.Attribute))
                )
        if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
            task = parent.targets[0].id
            awaited = [
                each.lineno
                for each in self._nodes
                if isinstance(each, ast.Await)
                and any(isinstance(n, ast.Name) and n.id == task for n in ast.walk(each.value))
            ]
            if awaited:
                return any(
                    call.lineno < getattr(each, "lineno", 0) < min(awaited) and ast.unparse(each) == session
                    for each in self._nodes
                    if isinstance(each, (ast.Name, ast.Attribute))
                )
        return True

    def _is_given_away(self, origin: object) -> bool:
        """Tell whether this function made the session, outside of a `with`, for whoever gets it."""
        if not isinstance(origin, ast.Call):
            return False
        return not isinstance(self._module.parent(origin), ast.withitem)

    def _is_background(self, call: ast.Call) -> bool:
        if last_name(call) == "add_task":
            owner = (
                self._inference.infer(call.func.value, self._scope) if isinstance(call.func, ast.Attribute) else None
            )
            return owner is None or (isinstance(owner, Outside) and "BackgroundTasks" in owner.name)
        function = self._inference.infer(call.func, self._scope)
        return isinstance(function, Outside) and function.name.endswith(".BackgroundTask")


def _kept_in_module(module: Module, inference: Inference) -> Iterator[Sharing]:
    """Yield sessions that a module or a class keeps for all, also inside of an object that is made once."""
    if '__name__ == "__main__"' in module.source or "__name__ == '__main__'" in module.source:
        return
    scopes: list[Scope] = [module.scope]
    scopes += [module.scope_of(node) for node in module.tree.body if isinstance(node, ast.ClassDef)]
    for scope in scopes:
        for bindings in scope.bindings.values():
            for binding in bindings:
                if binding.kind != "assigned" or not isinstance(binding.value, (ast.Call, ast.Await)):
                    continue
                if _holds_session(binding, inference):
                    assert isinstance(binding.node, ast.stmt)
                    yield Sharing(binding.node, binding.name, "module")
    for node in ast.walk(module.tree) if ".state." in module.source else ():
        match node:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Attribute(value=owner, attr="state"), attr=name)], value=ast.Call()
            ) if last_name(owner) in _APPLICATIONS:
                kept = inference.infer(node.value, module.scope_around(node))
                if isinstance(kept, Instance) and kept.kind in _KINDS:
                    yield Sharing(node, name, "module")
            case _:
                continue


def _holds_session(binding: Binding, inference: Inference) -> bool:
    value = inference.infer(binding.value, binding.scope)
    if isinstance(value, Instance):
        return value.kind in _KINDS
    if isinstance(value, Object):
        return any(
            isinstance(each, Instance) and each.kind in _KINDS and isinstance(each.origin, ast.Call)
            for each in inference.attributes_of(value)
        )
    return False


def _is_within(origin: object, node: ast.AST) -> bool:
    return isinstance(origin, ast.AST) and any(each is origin for each in ast.walk(node))
