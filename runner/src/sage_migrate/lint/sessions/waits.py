"""Finds the calls that wait for a database in the thread that runs them, through the functions that are called."""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from sage_migrate.lint.project import Scope
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.sessions.inference import Inference, own_nodes, property_of
from sage_migrate.lint.sessions.libraries import (
    ALEMBIC_COMMANDS,
    CONNECTS,
    SCHEMA_CALLS,
    SYNCHRONOUS,
    WAITS,
    reads_through,
)
from sage_migrate.lint.sessions.values import (
    NOTHING,
    Callable,
    ClassReference,
    Context,
    Entity,
    Generator,
    Instance,
    Manager,
    Method,
    Object,
    Outside,
    Partial,
    Value,
)

_DEPTH = 12
# Functions of Python's own that call what they are given, or iterate over it, at once.
_CALLS_ITS_ARGUMENT = frozenset(("map", "filter", "sorted", "max", "min", "reduce"))
_ITERATES = frozenset("list tuple set dict sorted sum any all next max min frozenset enumerate zip map filter".split())
# Functions of the event loop that call, in the loop's thread, what they are given.
_CALLED_BY_LOOP = {"call_soon": 0, "call_soon_threadsafe": 0, "call_later": 1, "call_at": 1, "add_done_callback": 0}


@dataclass(frozen=True, slots=True)
class Wait:
    """A call that waits, seen from one function."""

    node: ast.AST
    """The place in this function."""
    chain: tuple[str, ...]
    """What is called in turn, the last one waits."""


class Waits:
    """Asks each function once in each context."""

    def __init__(self, inference: Inference) -> None:
        """Start with nothing asked."""
        self._inference = inference
        self._known: dict[tuple[ast.AST, Context], tuple[Wait, ...]] = {}
        self._asked: set[tuple[ast.AST, Context]] = set()

    def of(self, function: ast.AST, scope: Scope, context: Context = NOTHING) -> tuple[Wait, ...]:
        """Return the places in a function's own body that wait for a database, in the order of the file."""
        key = (function, context)
        if key in self._known:
            return self._known[key]
        if key in self._asked or len(self._asked) > _DEPTH:
            return ()
        self._asked.add(key)
        try:
            found: dict[tuple[int, int], Wait] = {}
            for node in own_nodes(function):
                for wait in self._at(node, scope, context):
                    found.setdefault((getattr(wait.node, "lineno", 0), getattr(wait.node, "col_offset", 0)), wait)
        finally:
            self._asked.discard(key)
        self._known[key] = tuple(found[place] for place in sorted(found))
        return self._known[key]

    def _waits(self, node: ast.AST, called: str) -> Iterator[Wait]:
        yield Wait(node, (called,))

    def _at(self, node: ast.AST, scope: Scope, context: Context) -> Iterator[Wait]:
        match node:
            case ast.Call():
                yield from self._call(node, scope, context)
            case ast.With(items=items):
                for item in items:
                    yield from self._entered(item.context_expr, node, scope, context)
            case ast.For(iter=iterated) | ast.comprehension(iter=iterated, is_async=0) | ast.YieldFrom(value=iterated):
                yield from self._iterated(iterated, scope, context)
            case ast.Attribute(value=value, ctx=ast.Load()) if not _is_called(node, scope):
                yield from self._property(node, self._inference.infer(value, scope, context), scope, context)
            case _:
                return

    def _call(self, call: ast.Call, scope: Scope, context: Context) -> Iterator[Wait]:
        infer = self._inference.infer
        function = infer(call.func, scope, context)
        match function:
            case Method(of=of, name=name) if name in WAITS.get(of.kind, ()):
                yield from self._waits(call, label(call))
            case Instance(kind="sessionmaker" | "Session" | "Query") | Method():
                return
            case Outside(name=dotted):
                yield from self._outside(dotted, call, scope, context)
            case Callable() | Partial() | Object() | ClassReference():
                yield from self._through(function, call, scope, context)
            case None if isinstance(call.func, ast.Attribute):
                name = call.func.attr
                if name in SCHEMA_CALLS and self._is_given_synchronous(call, scope, context):
                    yield from self._waits(call, label(call))
                elif name in _CALLED_BY_LOOP:
                    yield from self._called_by_loop(name, call, scope, context)
                elif reads_through(f".{name}") and self._is_given_synchronous(call, scope, context):
                    yield from self._waits(call, label(call))
            case _:
                return

    def _outside(  # noqa: C901  a case for each function that is known
        self, dotted: str, call: ast.Call, scope: Scope, context: Context
    ) -> Iterator[Wait]:
        name = dotted.rpartition(".")[2]
        if dotted in CONNECTS | ALEMBIC_COMMANDS or (
            (name in SCHEMA_CALLS or reads_through(dotted)) and self._is_given_synchronous(call, scope, context)
        ):
            yield from self._waits(call, label(call))
        elif name in _CALLED_BY_LOOP:
            yield from self._called_by_loop(name, call, scope, context)
        elif dotted.startswith(("builtins.", "functools.reduce")):
            if name in _CALLS_ITS_ARGUMENT:
                for argument in [*call.args, *(each.value for each in call.keywords if each.arg == "key")]:
                    called = self._inference.infer(argument, scope, context)
                    if isinstance(called, Callable):
                        yield from self._body(called, called.context, call)
            if name in _ITERATES:
                for argument in call.args:
                    yield from self._iterated(argument, scope, context)
        elif name == "enter_context":
            for argument in call.args:
                yield from self._entered(argument, call, scope, context)

    def _called_by_loop(self, name: str, call: ast.Call, scope: Scope, context: Context) -> Iterator[Wait]:
        position = _CALLED_BY_LOOP[name]
        if len(call.args) > position:
            called = self._inference.infer(call.args[position], scope, context)
            if isinstance(called, Partial) and isinstance(called.function, Callable):
                called = called.function
            if isinstance(called, Callable) and not isinstance(called.node, ast.AsyncFunctionDef):
                yield from self._body(called, called.context, call)

    def _is_given_synchronous(self, call: ast.Call, scope: Scope, context: Context) -> bool:
        given = [*call.args, *(each.value for each in call.keywords)]
        values = (self._inference.infer(each, scope, context) for each in given)
        return any(isinstance(each, Instance) and each.kind in {*SYNCHRONOUS, "DriverConnection"} for each in values)

    def _through(self, function: Value, call: ast.Call, scope: Scope, context: Context) -> Iterator[Wait]:
        bound = self._inference.bound
        match function:
            case Callable(node=node):
                if isinstance(node, ast.Lambda) or not _is_generator(node):
                    given = bound(function, call, scope, context)
                    yield from self._body(function, given, call)
            case Partial(function=Callable() as inner):
                yield from self._body(inner, bound(inner, call, scope, context, function), call)
            case Object():
                method = self._inference.attribute(function, "__call__")
                if isinstance(method, Callable):
                    yield from self._body(method, bound(method, call, scope, context), call)
            case ClassReference(cls=cls):
                made = self._inference.infer(call, scope, context)
                if isinstance(made, Object):
                    for name in ("__init__", "__post_init__"):
                        method = self._inference.attribute(made, name)
                        if isinstance(method, Callable):
                            given = bound(method, call, scope, context) if name == "__init__" else made.context
                            yield from self._body(method, given, call, name=cls.name)
            case _:
                return

    def _body(self, function: Callable, context: Context, at: ast.AST, name: str = "") -> Iterator[Wait]:
        node = function.node
        inside = self.of(node, function.scope, context)
        if isinstance(node, ast.AsyncFunctionDef):
            # What an async function does whoever calls it is told where it stands.
            alone = {wait.node for wait in self.of(node, function.scope, NOTHING)}
            inside = tuple(wait for wait in inside if wait.node not in alone)
        own = name or function_name(node, function.scope)
        for wait in inside[:1]:
            yield Wait(at, (own, *wait.chain))

    def _entered(self, expression: ast.expr, at: ast.AST, scope: Scope, context: Context) -> Iterator[Wait]:
        manager = self._inference.infer(expression, scope, context)
        match manager:
            case Manager(function=Callable() as function, is_async=False, context=inner):
                yield from self._body(function, inner, expression)
            case (
                Manager(value=Instance(kind="Session" | "scoped_session" | "DriverConnection"), is_async=False)
                | Instance(kind="Session" | "scoped_session")
            ):
                # Its end gives a connection back, with a ROLLBACK at least; told only where nothing else is.
                if isinstance(at, ast.With) and not any(
                    wait for each in at.body for wait in self._inside(each, scope, context)
                ):
                    yield from self._waits(expression, f"with {label(expression)}")
            case Object():
                for name in ("__enter__", "__exit__"):
                    method = self._inference.attribute(manager, name)
                    if isinstance(method, Callable):
                        yield from self._body(method, manager.context, expression)
            case _:
                return

    def _inside(self, statement: ast.AST, scope: Scope, context: Context) -> Iterator[Wait]:
        for node in ast.walk(statement):
            yield from self._at(node, scope, context)

    def _iterated(self, expression: ast.expr, scope: Scope, context: Context) -> Iterator[Wait]:
        iterated = self._inference.infer(expression, scope, context)
        match iterated:
            case Instance(kind="Query"):
                yield from self._waits(expression, label(expression))
            case Generator(function=function, is_async=False, context=inner):
                yield from self._body(function, inner, expression)
            case _:
                return

    def _property(
        self,
        node: ast.Attribute,
        of: Value | None,
        scope: Scope,  # noqa: ARG002  what derives from this asks for it
        context: Context,  # noqa: ARG002
    ) -> Iterator[Wait]:
        if isinstance(of, Entity) and self._inference.lazy(of, node.attr):
            if of.session is not None and of.session.kind in SYNCHRONOUS:
                yield from self._waits(node, label(node))
        elif isinstance(of, (Object, Entity)):
            member = self._inference.class_member(of.cls, node.attr)
            if member is not None and isinstance(member.node, Function) and property_of(member.node):
                method = Callable(
                    member.node,
                    member.scope.module.scope_of(member.node),
                    of.context if isinstance(of, Object) else NOTHING,
                    of,
                )
                given = self._inference.bind_self(method)
                yield from self._body(method, given, node)


def _is_called(node: ast.AST, scope: Scope) -> bool:
    parent = scope.module.parent(node)
    return isinstance(parent, ast.Call) and parent.func is node


def _is_generator(node: ast.AST) -> bool:
    return any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(node))


def function_name(node: ast.AST, scope: Scope) -> str:
    """Return a function's name, with its class's in front."""
    if isinstance(node, ast.Lambda):
        return "lambda"
    name: str = getattr(node, "name", "")
    around = scope.parent.node if scope.parent else None
    return f"{around.name}.{name}" if isinstance(around, ast.ClassDef) else name


def label(expression: ast.AST) -> str:
    """Return how a call reads, its arguments left out: `db.query(…).all`."""
    if isinstance(expression, ast.Call):
        return _short(expression.func)
    return _short(expression)


def _short(expression: ast.AST) -> str:
    match expression:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            inner = _short(value)
            # The middle of a long chain tells nothing.
            return f"{inner.split('(…)', 1)[0]}(…).{name}" if "(…)" in inner else f"{inner}.{name}"
        case ast.Call(func=function, args=args, keywords=keywords):
            return f"{_short(function)}({'…' if args or keywords else ''})".replace("()(…)", "(…)")
        case ast.Await(value=value):
            return _short(value)
        case ast.Subscript(value=value):
            return f"{_short(value)}[…]"
        case _:
            return "…"
