"""Follows mapped objects through a function: which are expired, by a commit or a rollback, when they are read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sage_migrate.lint.project import Module, Project, Scope
from sage_migrate.lint.sessions.answers import response_model
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.mapping import column_names
from sage_migrate.lint.sessions.values import (
    NOTHING,
    Callable,
    ClassReference,
    Context,
    Entity,
    Instance,
    ListOf,
    Manager,
    Method,
    Partial,
)

_SESSIONS = ("AsyncSession", "async_scoped_session")
_READS = frozenset(("model_validate", "from_orm"))
_DEPTH = 3
_ANY = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What is known of one name."""

    entity: Entity
    session: object
    """The origin of the session that holds it; None: none yet."""
    expires: bool | None
    expired: str = ""
    """By what: commit or rollback."""


State = dict[str, Followed]


@dataclass(slots=True)
class Expired:
    """A read of an expired object."""

    node: ast.AST
    name: str
    attribute: str
    by: str


@dataclass(slots=True)
class Flow:
    """One pass through one function."""

    function: ast.AsyncFunctionDef
    scope: Scope
    context: Context
    inference: Inference
    default_expires: bool | None
    found: list[Expired] = field(default_factory=list)
    returned: Followed | None = None
    _leaving: list[tuple[object, bool | None]] = field(default_factory=list)
    """Sessions whose `begin()` block is around."""
    _depth: int = 0

    def run(self) -> "Flow":
        """Go through the body."""
        state: State = {}
        for bindings in self.scope.bindings.values():
            for binding in bindings[:1]:
                if binding.kind == "parameter":
                    value = self.inference.binding(binding, self.context)
                    if isinstance(value, ListOf):
                        value = value.item
                    if isinstance(value, Entity):
                        state[binding.name] = self._followed(value)
        self._block(self.function.body, state)
        return self

    def _followed(self, entity: Entity) -> Followed:
        session = entity.session
        expires = session.expires if session is not None else None
        return Followed(
            entity=entity,
            session=session.origin if session is not None else None,
            expires=self.default_expires if expires is None else expires,
        )

    def _block(self, statements: list[ast.stmt], state: State) -> State | None:
        current: State | None = state
        for statement in statements:
            if current is None:
                return None
            current = self._statement(statement, current)
        return current

    def _statement(  # noqa: C901, PLR0911, PLR0912  a case for each statement
        self, statement: ast.stmt, state: State
    ) -> State | None:
        match statement:
            case ast.If(test=test, body=body, orelse=orelse):
                self._expression(test, state)
                return _merge(self._block(body, dict(state)), self._block(orelse, dict(state)))
            case ast.For() | ast.AsyncFor():
                self._expression(statement.iter, state)
                return self._loop(statement, state)
            case ast.While(test=test):
                self._expression(test, state)
                return self._loop(statement, state)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                return self._with(items, body, state)
            case ast.Try() | ast.TryStar():
                return self._try(statement, state)
            case ast.Match(subject=subject, cases=cases):
                self._expression(subject, state)
                ends = [self._block(each.body, dict(state)) for each in cases]
                merged: State | None = state
                for each in ends:
                    merged = _merge(merged, each)
                return merged
            case ast.Return(value=value):
                self._expression(value, state)
                self._return(value, state)
                return None
            case ast.Raise() | ast.Break() | ast.Continue():
                self._expression(statement, state)
                return None
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return state
            case ast.Assign(targets=targets, value=value):
                self._expression(value, state)
                for target in targets:
                    self._bind(target, value, state)
                return state
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._expression(value, state)
                self._bind(target, value, state)
                return state
            case _:
                self._expression(statement, state)
                return state

    def _loop(self, loop: ast.For | ast.AsyncFor | ast.While, state: State) -> State | None:
        current = dict(state)
        for _ in range(2):
            if not isinstance(loop, ast.While):
                self._bind_item(loop.target, loop.iter, current)
            after = self._block(loop.body, current)
            current = _merge(dict(current), after) or current
        if loop.orelse:
            return self._block(loop.orelse, current)
        return current

    def _bind_item(self, target: ast.expr, iterated: ast.expr, state: State) -> None:
        if not isinstance(target, ast.Name):
            return
        if isinstance(iterated, ast.Name) and iterated.id in state:
            state[target.id] = state[iterated.id]
            return
        before = state.get(target.id)
        value = self.inference.infer(iterated, self.scope, self.context)
        scope = self.scope.module.scope_around(target, self.scope)
        bindings = [each for each in scope.lookup(target.id) if each.kind == "iterated" and each.value is iterated]
        entity = self.inference.binding(bindings[0], self.context) if bindings and value is not None else None
        if isinstance(entity, Entity):
            followed = self._followed(entity)
            # All that one query gave are expired together.
            expired = before.expired if before is not None and before.entity == entity else ""
            state[target.id] = replace(followed, expired=expired)
        else:
            state.pop(target.id, None)

    def _with(self, items: list[ast.withitem], body: list[ast.stmt], state: State) -> State | None:
        ends: list[tuple[object, bool | None]] = []
        for item in items:
            self._expression(item.context_expr, state)
            manager = self.inference.infer(item.context_expr, self.scope, self.context)
            if isinstance(manager, Manager) and manager.commits and isinstance(manager.value, Instance):
                ends.append((manager.value.origin, self._expires(manager.value)))
        self._leaving += ends
        after = self._block(body, state)
        for end in ends:
            self._leaving.remove(end)
        if after is not None:
            for origin, expires in ends:
                self._commit(origin, expires, after)
        return after

    def _try(self, statement: ast.Try | ast.TryStar, state: State) -> State | None:
        before = dict(state)
        after = self._block(statement.body, dict(state))
        # What failed has not committed: a handler sees what was bound in the body, as it was before.
        bound = {name: replace(each, expired="") for name, each in self._bound_in(statement.body, state).items()}
        handled: State | None = None
        for handler in statement.handlers:
            handled = _merge(handled, self._block(handler.body, {**bound, **before}))
        if after is not None and statement.orelse:
            after = self._block(statement.orelse, after)
        merged = _merge(after, handled)
        if statement.finalbody:
            return (
                self._block(statement.finalbody, merged if merged is not None else before)
                if merged is not None
                else None
            )
        return merged

    def _bound_in(self, body: list[ast.stmt], state: State) -> State:
        found: State = {}
        for statement in body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self._bind(target, node.value, found)
        return {name: each for name, each in found.items() if name not in state}

    def _bind(self, target: ast.expr, value: ast.expr, state: State) -> None:
        if not isinstance(target, ast.Name):
            return
        state.pop(target.id, None)
        if isinstance(value, ast.Name) and value.id in state:
            state[target.id] = state[value.id]
            return
        found = self.inference.infer(value, self.scope, self.context)
        if isinstance(found, ListOf):
            found = found.item
        if isinstance(found, Entity):
            followed = self._followed(found)
            returned = self._returned_by(value)
            if returned is not None:
                followed = replace(followed, expired=returned.expired, session=followed.session or returned.session)
            state[target.id] = followed

    def _returned_by(self, value: ast.expr) -> Followed | None:
        call = value.value if isinstance(value, ast.Await) else None
        flow = self._inner(call) if isinstance(call, ast.Call) else None
        return flow.returned if flow is not None else None

    def _inner(self, call: ast.Call) -> "Flow | None":
        """Go through an async function of the project that is called here."""
        function = self.inference.infer(call.func, self.scope, self.context)
        if isinstance(function, Partial):
            function = function.function
        if not isinstance(function, Callable) or not isinstance(function.node, ast.AsyncFunctionDef):
            return None
        if self._depth >= _DEPTH:
            return None
        context = self.inference.bound(function, call, self.scope, self.context)
        return Flow(
            function.node, function.scope, context, self.inference, self.default_expires, _depth=self._depth + 1
        ).run()

    def _return(self, value: ast.expr | None, state: State) -> None:
        if not isinstance(value, ast.Name) or value.id not in state:
            return
        followed = state[value.id]
        for origin, expires in self._leaving:
            if expires and followed.session in {origin, _ANY}:
                followed = replace(followed, expired="commit")
        self.returned = followed
        module = self.scope.module
        model = response_model(self.function, module, self.inference)
        if followed.expired and model is not None and model is not followed.entity.cls:
            self.found.append(Expired(value, value.id, "", followed.expired))

    # Expressions

    def _expression(self, expression: ast.AST | None, state: State) -> None:
        if expression is None:
            return
        for node in _in_order(expression):
            match node:
                case ast.Call():
                    self._call(node, state)
                case ast.comprehension(target=target, iter=iterated):
                    self._bind_item(target, iterated, state)
                case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=ast.Load()) if name in state:
                    self._read(node, name, attribute, state)
                case _:
                    continue

    def _read(self, node: ast.AST, name: str, attribute: str, state: State) -> None:
        followed = state[name]
        if followed.expired and attribute in column_names(followed.entity.cls, self.inference.project):
            self.found.append(Expired(node, name, attribute, followed.expired))
            state[name] = replace(followed, expired="")  # told once

    def _call(self, call: ast.Call, state: State) -> None:
        function = self.inference.infer(call.func, self.scope, self.context)
        match function:
            case Method(of=Instance(kind="AsyncSession" | "async_scoped_session") as session, name=name):
                self._session(session, name, call, state)
            case Callable(node=ast.AsyncFunctionDef()):
                self._effects(function, call, state)
            case Callable(node=ast.FunctionDef() as node):
                self._read_by(node, function, call, state)
            case None if isinstance(call.func, ast.Attribute) and call.func.attr in _READS:
                schema = self.inference.infer(call.func.value, self.scope, self.context)
                for argument in call.args[:1]:
                    if isinstance(argument, ast.Name) and argument.id in state and isinstance(schema, ClassReference):
                        followed = state[argument.id]
                        if followed.expired:
                            self.found.append(Expired(argument, argument.id, "", followed.expired))
            case _:
                return

    def _session(  # noqa: C901, PLR0912  a case for each method
        self, session: Instance, name: str, call: ast.Call, state: State
    ) -> None:
        expires = self._expires(session)
        names = [each.id for argument in call.args for each in ast.walk(argument) if isinstance(each, ast.Name)]
        match name:
            case "commit":
                self._commit(session.origin, expires, state)
            case "rollback":
                for each, followed in state.items():
                    if followed.session == session.origin and followed.session is not None and not followed.entity.made:
                        state[each] = replace(followed, expired="rollback")
            case "add" | "add_all":
                for each in names:
                    if each in state:
                        state[each] = replace(state[each], session=session.origin, expires=expires)
            case "refresh" | "expunge":
                for each in names:
                    if each in state:
                        kept = state[each].session if name == "refresh" else None
                        state[each] = replace(state[each], expired="", session=kept)
            case "expunge_all":
                for each, followed in state.items():
                    state[each] = replace(followed, session=None)
            case _:
                return

    def _commit(self, origin: object, expires: bool | None, state: State) -> None:  # noqa: FBT001  what is known of the session
        for name, followed in state.items():
            if followed.session is not None and followed.session in {origin, _ANY}:
                entity = replace(followed.entity, made=False)
                expired = "commit" if expires else followed.expired
                state[name] = replace(followed, entity=entity, expired=expired)

    def _effects(self, function: Callable, call: ast.Call, state: State) -> None:
        """Apply what an async function of the project does to objects that are given to it, and to its session."""
        if self._depth >= _DEPTH or not isinstance(function.node, ast.AsyncFunctionDef):
            return
        context = self.inference.bound(function, call, self.scope, self.context)
        given = _given(function, call)
        for node in own_nodes(function.node):
            if not isinstance(node, ast.Call):
                continue
            method = self.inference.infer(node.func, function.scope, context)
            if not (isinstance(method, Method) and method.of.kind in _SESSIONS):
                continue
            renamed = {inner: outer for inner, outer in given.items() if outer in state}
            inside = {inner: state[outer] for inner, outer in renamed.items()}
            others = {f"\0{name}": each for name, each in state.items() if name not in renamed.values()}
            both = {**inside, **others}
            self._session(method.of, method.name, node, both)
            for inner, outer in renamed.items():
                state[outer] = both[inner]
            for name in others:
                state[name[1:]] = both[name]

    def _read_by(self, node: ast.FunctionDef, function: Callable, call: ast.Call, state: State) -> None:
        for inner, outer in _given(function, call).items():
            followed = state.get(outer)
            if followed is None or not followed.expired:
                continue
            columns = column_names(followed.entity.cls, self.inference.project)
            for each in own_nodes(node):
                match each:
                    case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=ast.Load()):
                        if name == inner and attribute in columns:
                            self.found.append(Expired(call, outer, attribute, followed.expired))
                            return

    def _expires(self, session: Instance) -> bool | None:
        return self.default_expires if session.expires is None else session.expires


def _given(function: Callable, call: ast.Call) -> dict[str, str]:
    """Return which names of the caller a function's parameters stand for."""
    arguments = function.node.args
    parameters = [each.arg for each in [*arguments.posonlyargs, *arguments.args]]
    if function.bound is not None:
        parameters = parameters[1:]
    given = {name: each.id for name, each in zip(parameters, call.args, strict=False) if isinstance(each, ast.Name)}
    given.update({each.arg: each.value.id for each in call.keywords if each.arg and isinstance(each.value, ast.Name)})
    return given


def _in_order(expression: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of an expression, arguments before the call that gets them."""
    stack: list[tuple[ast.AST, bool]] = [(expression, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            yield node
            continue
        stack.append((node, True))
        if not isinstance(node, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
            children = list(ast.iter_child_nodes(node))
            # What a comprehension makes comes after what it iterates over.
            children.sort(key=lambda child: not isinstance(child, ast.comprehension))
            stack.extend((child, False) for child in reversed(children))


def _merge(one: State | None, other: State | None) -> State | None:
    if one is None or other is None:
        return one if other is None else other
    merged = dict(one)
    for name, followed in other.items():
        if name not in merged or (followed.expired and not merged[name].expired):
            merged[name] = followed
    return merged


def default_expiry(project: Project) -> bool | None:
    """Return True where every AsyncSession that the project makes expires its objects on commit."""
    from sage_migrate.lint.sessions.analysis import Analysis

    inference = project.once(Analysis).inference
    found: set[bool | None] = set()
    for module in project.modules:
        if "AsyncSession" not in module.source and "async_sessionmaker" not in module.source:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                value = inference.infer(node, module.scope_around(node))
                if isinstance(value, Instance) and value.origin is node and value.kind == "async_sessionmaker":
                    found.add(value.expires)
    return True if found == {True} else None


def expired_reads(function: ast.AsyncFunctionDef, module: Module, project: Project) -> list[Expired]:
    """Return the reads of expired objects in a function, each once."""
    from sage_migrate.lint.sessions.analysis import Analysis

    flow = Flow(
        function,
        module.scope_of(function),
        NOTHING,
        project.once(Analysis).inference,
        project.once(default_expiry),
    ).run()
    return list({(getattr(e.node, "lineno", 0), getattr(e.node, "col_offset", 0)): e for e in flow.found}.values())
