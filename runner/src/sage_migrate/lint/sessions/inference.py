"""Tells what an expression is: a synchronous session, an async one, an object that holds one, a mapped object.

It reads the code as far as sessions go: through annotations, assignments, calls, dependencies, attributes of objects, and
context managers, across modules. What it cannot tell is None, and no rule speaks of it.
"""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from collections.abc import Iterator
from functools import cached_property, lru_cache

from sage_migrate.lint.project import Binding, External, Module, Project, Scope, Symbol
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.project.scopes import Function
from sage_migrate.lint.sessions import library_calls
from sage_migrate.lint.sessions.libraries import CONNECTS, kind_of, of_sqlalchemy
from sage_migrate.lint.sessions.mapping import is_mapped, lazy_relationships, lineage
from sage_migrate.lint.sessions.values import (
    NOTHING,
    Callable,
    ClassReference,
    Context,
    Coroutine,
    Entity,
    Generator,
    Instance,
    ListOf,
    Manager,
    Method,
    ModuleReference,
    Object,
    Outside,
    Partial,
    TupleOf,
    Value,
)

_DEPTH = 60
_NESTED = 4
_WRAPPERS = frozenset("Annotated Optional Final ClassVar Required NotRequired Mapped InitVar".split())
_ITEMS = frozenset(
    "list List Sequence Iterable Iterator Collection set Set tuple Tuple Generator AsyncIterator".split()
)
_YIELDS = frozenset("Generator AsyncGenerator Iterator AsyncIterator Iterable AsyncIterable".split())
_SAME_ITEMS = frozenset(("list", "sorted", "reversed", "tuple", "set", "iter", "frozenset", "filter"))
_STATES = frozenset(("state",))
_PROVIDERS = frozenset(("Depends", "Security", "TaskiqDepends", "Provide"))


class Inference:
    """What is known of one project; asked again and again, answers are kept."""

    def __init__(self, project: Project) -> None:
        """Start with nothing known."""
        self.project = project
        self._known: dict[tuple[ast.AST, Context], Value | None] = {}
        self._asked: set[tuple[ast.AST, Context]] = set()
        self._kinds: dict[Binding, Instance | None] = {}
        self._assigned_to_self: dict[ast.ClassDef, dict[str, list[tuple[ast.expr, Scope]]]] = {}
        self._kept: dict[Module, dict[str, list[tuple[ast.expr, Scope]]]] = {}
        self._depth = 0

    # Expressions

    def infer(self, expression: ast.AST | None, scope: Scope, context: Context = NOTHING) -> Value | None:
        """Return what ``expression`` is, None where that cannot be told."""
        if expression is None or self._depth > _DEPTH:
            return None
        key = (expression, context)
        if key in self._known:
            return self._known[key]
        if key in self._asked:
            return None
        self._asked.add(key)
        self._depth += 1
        try:
            found = self._infer(expression, scope, context)
        finally:
            self._depth -= 1
            self._asked.discard(key)
        self._known[key] = found
        return found

    def _infer(  # noqa: C901, PLR0911, PLR0912  a case for each kind of expression
        self, expression: ast.AST, scope: Scope, context: Context
    ) -> Value | None:
        match expression:
            case ast.Name(id=name):
                return self._name(name, expression, scope.module.scope_around(expression, scope), context)
            case ast.Attribute(value=value, attr=name):
                found = self.attribute(self.infer(value, scope, context), name)
                return (
                    self._kept_value(expression, scope) or found
                    if found is None or isinstance(found, Outside)
                    else found
                )
            case ast.Call():
                return self._call(expression, scope, context)
            case ast.Await(value=value):
                awaited = self.infer(value, scope, context)
                if isinstance(awaited, Coroutine):
                    return awaited.value
                # `session = await engine.connect()`, `transaction = await session.begin()`
                return awaited.value if isinstance(awaited, Manager) and awaited.is_async else None
            case ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self.infer(value, scope, context)
            case ast.IfExp(body=body, orelse=orelse):
                return self.infer(body, scope, context) or self.infer(orelse, scope, context)
            case ast.BoolOp(values=values):
                return next((found for each in values if (found := self.infer(each, scope, context))), None)
            case ast.Tuple(elts=elements):
                return TupleOf(tuple(self.infer(each, scope, context) for each in elements))
            case ast.List(elts=elements) | ast.Set(elts=elements) | ast.Dict(values=elements):
                item = next((found for each in elements if (found := self.infer(each, scope, context))), None)
                return ListOf(item) if item else None
            case ast.ListComp(elt=element) | ast.SetComp(elt=element) | ast.GeneratorExp(elt=element):
                item = self.infer(element, scope, context)
                return ListOf(item) if item else None
            case ast.Subscript(value=value, slice=index):
                return self._subscript(expression, self.infer(value, scope, context), index, scope)
            case ast.Lambda():
                return Callable(expression, scope.module.scope_of(expression), _kept(context))
            case _:
                return None

    def _name(self, name: str, use: ast.Name, scope: Scope, context: Context) -> Value | None:
        bindings = scope.lookup(name)
        if not bindings:
            return self._symbol(self.project.resolve(use, scope), context)
        for binding in _as_seen(bindings, use, scope):
            found = self.binding(binding, context)
            if found is not None:
                return found
        return None

    def binding(self, binding: Binding, context: Context) -> Value | None:
        """Return what a name stands for where this binding is the one that counts."""
        match binding.kind:
            case "parameter":
                given = dict(context).get(binding)
                return given if given is not None else self._parameter(binding)
            case "assigned" | "entered" | "iterated":
                return self._assigned(binding, context)
            case "other":
                return None
            case _:
                return self._symbol(self.project.follow(binding), context)

    def _assigned(self, binding: Binding, context: Context) -> Value | None:
        inner = context if binding.scope.function is not None else NOTHING
        found = self.infer(binding.value, binding.scope, inner)
        if binding.kind == "entered":
            found = self.entered(found)
        elif binding.kind == "iterated":
            found = _item(found)
        for position in binding.unpacked:
            found = _item(found, position)
        if found is None and binding.annotation is not None:
            found = self.annotated(binding.annotation, binding.scope, binding)
        return found

    def _symbol(self, symbol: Symbol | None, context: Context) -> Value | None:
        match symbol:
            case External(name=name):
                return Outside(name)
            case Module():
                return ModuleReference(symbol)
            case Binding(kind="function", node=ast.FunctionDef() | ast.AsyncFunctionDef() as node):
                return self.function(node, symbol.scope.module, context)
            case Binding(kind="class"):
                return ClassReference(symbol)
            case Binding(kind="import") | None:
                return None
            case Binding():
                return self.binding(symbol, context)

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, context: Context = NOTHING
    ) -> Value:
        """Return a function as its decorators leave it."""
        found: Value = Callable(node, module.scope_of(node), _kept(context))
        for decorator in reversed(node.decorator_list):
            wrapped = self.infer(decorator, module.scope_around(node), context)
            if isinstance(wrapped, Outside):
                if wrapped.name.rpartition(".")[2] in ("sync_to_async", "run_in_threadpool", "asyncify", "threaded"):
                    return Outside(wrapped.name)
            elif isinstance(wrapped, Callable) and not isinstance(wrapped.node, ast.Lambda):
                parameters = _positional(wrapped.node)
                if parameters:
                    given = self._bind(wrapped, {parameters[0].arg: found})
                    result = self._returned(wrapped, given)
                    found = result if isinstance(result, Callable) else found
        return found

    # Attributes

    def attribute(self, of: Value | None, name: str) -> Value | None:  # noqa: PLR0911  a case for each kind
        """Return what an attribute is."""
        match of:
            case Outside(name=dotted):
                return Outside(f"{dotted}.{name}")
            case ModuleReference(module=module):
                return self._symbol(self.project.member(module, name), NOTHING)
            case Instance(kind="AsyncSession" | "async_scoped_session") if name == "sync_session":
                return Instance(kind="Session", origin=of.origin)
            case Instance(kind="AsyncEngine") if name == "sync_engine":
                return Instance(kind="Engine")
            case Instance():
                return Method(of, name)
            case Object() | Entity():
                return self._member(of, name)
            case ClassReference(cls=cls):
                member = self.class_member(cls, name)
                if isinstance(member.node if member else None, Function):
                    return self._method(member, of)
                return self._symbol(member, NOTHING)
            case _:
                return None

    def class_member(self, cls: Binding, name: str) -> Binding | None:
        """Return what a class or its bases bind ``name`` to."""
        found = self.project.member(cls, name)
        return found if isinstance(found, Binding) else None

    def _member(self, of: Object | Entity, name: str) -> Value | None:
        member = self.class_member(of.cls, name)
        if member is not None and isinstance(member.node, Function):
            if property_of(member.node):
                return self._returned_by(self._method(member, of))
            return self._method(member, of)
        if isinstance(of, Entity):
            return None
        for value, scope in self._assignments_to_self(of.cls, name):
            found = self.infer(value, scope, of.context)
            if found is not None:
                return found
        if member is not None:
            given = dict(of.context).get(member)
            return given if given is not None else self.binding(member, of.context)
        return None

    def attributes_of(self, of: Object) -> Iterator[Value]:
        """Yield what the attributes of an object are, those of its class included."""
        names: dict[str, None] = {}
        for cls in lineage(of.cls, self.project):
            if isinstance(cls.node, ast.ClassDef):
                list(self._assignments_to_self(cls, ""))  # reads the class
                names.update(dict.fromkeys(self._assigned_to_self[cls.node]))
                bindings = cls.scope.module.scope_of(cls.node).bindings
                names.update({name: None for name, bound in bindings.items() if bound[-1].kind == "assigned"})
        for name in names:
            found = self._member(of, name)
            if found is not None:
                yield found

    def _method(self, member: Binding | None, of: Object | ClassReference | Entity) -> Value | None:
        if member is None or not isinstance(member.node, Function):
            return None
        decorators = decorator_names(member.node)
        context = of.context if isinstance(of, Object) else NOTHING
        found = self.function(member.node, member.scope.module, context)
        if not isinstance(found, Callable) or found.node is not member.node:
            return found
        if "staticmethod" in decorators:
            return found
        if isinstance(of, ClassReference) and "classmethod" not in decorators:
            return found
        return Callable(found.node, found.scope, found.context, of)

    def _assignments_to_self(self, cls: Binding, name: str, depth: int = 0) -> Iterator[tuple[ast.expr, Scope]]:
        node = cls.node
        if not isinstance(node, ast.ClassDef) or depth > _NESTED:
            return
        if node not in self._assigned_to_self:
            self._assigned_to_self[node] = _assigned_to_self(node, cls.scope.module)
        yield from self._assigned_to_self[node].get(name, ())
        for found in self.project.bases(cls):
            if isinstance(found, Binding) and found.kind == "class":
                yield from self._assignments_to_self(found, name, depth + 1)

    def _kept_value(self, expression: ast.Attribute, scope: Scope) -> Value | None:
        """Return what was put into `app.state.engine`, and is read as `request.app.state.engine`."""
        if isinstance(expression.value, ast.Attribute) and expression.value.attr in _STATES:
            return self._kept_as(f".{expression.attr}", scope.module)
        return None

    @cached_property
    def _keepers(self) -> tuple[Module, ...]:
        """The modules that may put an engine or a session where others find it."""
        return tuple(
            each
            for each in self.project.modules
            if (".state." in each.source or '"] = ' in each.source)
            and any(word in each.source for word in ("engine", "sessionmaker", "Session"))
        )

    def _kept_as(self, key: str, module: Module) -> Value | None:
        for each in (module, *(other for other in self._keepers if other is not module)):
            if each not in self._kept:
                self._kept[each] = _kept_values(each)
            for value, where in self._kept[each].get(key, ()):
                found = self.infer(value, where, NOTHING)
                if found is not None:
                    return found
        return None

    def _subscript(  # noqa: PLR0911  a case for each kind
        self, expression: ast.Subscript, of: Value | None, index: ast.expr, scope: Scope
    ) -> Value | None:
        match of, index:
            case TupleOf(), ast.Constant(value=int(position)):
                return _item(of, position)
            case ListOf(item=item), ast.Slice():
                return ListOf(item)
            case ListOf(), _:
                return _item(of)
            case Instance(kind="Result" | "Query"), _:
                return _item(of)
            case Outside(), _:
                # `async_sessionmaker[AsyncSession](engine)`, `class Repo(Base[Order])`
                return of
            case ClassReference(), _:
                return of
            case None, ast.Constant(value=str(key)) if isinstance(expression.value, (ast.Name, ast.Attribute)):
                return self._kept_as(f"[{key}]", scope.module)
            case _:
                return None

    # Parameters and annotations

    def _parameter(self, binding: Binding) -> Value | None:
        function = binding.scope.node
        cls = _class_of(binding.scope)
        if cls is not None and isinstance(function, Function):
            parameters = _positional(function)
            if parameters and parameters[0] is binding.node and "staticmethod" not in decorator_names(function):
                is_class = "classmethod" in decorator_names(function) or function.name == "__new__"
                return ClassReference(cls) if is_class else self.made(cls)
        around = binding.scope.parent or binding.scope
        provided = self._provided(binding.value, around)
        if provided is None and binding.annotation is not None:
            provided = self._provided_by_annotation(binding.annotation, around)
        if provided is not None:
            return provided
        if binding.annotation is not None:
            return self.annotated(binding.annotation, around, binding)
        return None

    def made(self, cls: Binding) -> Value:
        """Return an object of a class: of a library's kind where it derives from one."""
        instance = self.derived_kind(cls)
        if instance is not None:
            return instance
        if is_mapped(cls, self.project):
            return Entity(cls=cls)
        return Object(cls)

    def derived_kind(self, cls: Binding, depth: int = 0) -> Instance | None:
        """Return what objects of a class are that derives from a library's."""
        if cls in self._kinds or depth > _NESTED:
            return self._kinds.get(cls)
        self._kinds[cls] = None
        if isinstance(cls.node, ast.ClassDef):
            for symbol in self.project.bases(cls):
                if isinstance(symbol, External) and (kind := kind_of(symbol.name)):
                    self._kinds[cls] = Instance(kind=kind, origin=cls)
                elif isinstance(symbol, Binding) and symbol.kind == "class":
                    self._kinds[cls] = self.derived_kind(symbol, depth + 1)
                if self._kinds[cls] is not None:
                    break
        return self._kinds[cls]

    def _provided_by_annotation(self, annotation: ast.expr, scope: Scope, depth: int = 0) -> Value | None:
        """Return what `Annotated[Session, Depends(get_session)]`, also under a name of its own, provides."""
        if isinstance(annotation, (ast.Name, ast.Attribute)) and depth < _NESTED:
            symbol = self.project.resolve(annotation, scope)
            if isinstance(symbol, Binding) and symbol.kind == "assigned" and symbol.value is not None:
                return self._provided_by_annotation(symbol.value, symbol.scope, depth + 1)
            node = symbol.node if isinstance(symbol, Binding) else None
            if isinstance(node, ast.TypeAlias) if hasattr(ast, "TypeAlias") else False:
                return self._provided_by_annotation(node.value, scope, depth + 1)  # type: ignore[union-attr]
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str) and depth < _NESTED:
            parsed = parse_annotation(annotation.value)
            return self._provided_by_annotation(parsed, scope, depth + 1) if parsed else None
        if (
            isinstance(annotation, ast.Subscript)
            and last_name(annotation.value) == "Annotated"
            and isinstance(annotation.slice, ast.Tuple)
        ):
            first, *rest = annotation.slice.elts
            for each in rest:
                provided = self._provided(each, scope, first)
                if provided is not None:
                    return provided
            return self._provided_by_annotation(first, scope, depth + 1)
        return None

    def _provided(self, default: ast.expr | None, scope: Scope, annotation: ast.expr | None = None) -> Value | None:
        """Return what a dependency provides."""
        if not isinstance(default, ast.Call) or last_name(default.func) not in _PROVIDERS:
            return None
        target = default.args[0] if default.args else _keyword(default, "dependency")
        if target is None:
            return self._constructed(annotation, scope)
        return self.provided_by(self.infer(target, scope, NOTHING))

    def _constructed(self, annotation: ast.expr | None, scope: Scope) -> Value | None:
        symbol = self.project.resolve(annotation, scope)
        return self.made(symbol) if isinstance(symbol, Binding) and symbol.kind == "class" else None

    def provided_by(self, dependency: Value | None) -> Value | None:
        """Return what a framework gets by calling a dependency and awaiting or entering it."""
        found: Value | None
        match dependency:
            case Callable():
                found = self.called(dependency, dependency.context)
            case ClassReference(cls=cls):
                return self.made(cls)
            case Object():
                found = self._returned_by(self._member(dependency, "__call__"))
            case Method(of=Instance(kind="sessionmaker" | "async_sessionmaker") as maker, name="begin" | "__call__"):
                found = library_calls.made_by(maker, maker)
            case Instance(kind="sessionmaker" | "async_sessionmaker"):
                found = library_calls.made_by(dependency, dependency)
            case _:
                return None
        if isinstance(found, (Coroutine, Generator, Manager)):
            found = found.value
        if isinstance(found, Instance):
            # One for each request, shared by all who depend on it.
            origin = dependency.node if isinstance(dependency, Callable) else dependency
            if not isinstance(found.origin, tuple):
                found = _replace(found, origin=("provided", origin))
        return found

    def annotated(  # noqa: C901, PLR0911, PLR0912  the ways to write a type
        self, annotation: ast.expr | None, scope: Scope, origin: object, depth: int = 0
    ) -> Value | None:
        """Return what a value of an annotated type is."""
        if depth > _NESTED * 2:
            return None
        match annotation:
            case ast.Constant(value=str(text)):
                return self.annotated(parse_annotation(text), scope, origin, depth + 1)
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self.annotated(left, scope, origin, depth + 1) or self.annotated(right, scope, origin, depth + 1)
            case ast.Subscript(value=value, slice=inside):
                name = last_name(value)
                first = inside.elts[0] if isinstance(inside, ast.Tuple) and inside.elts else inside
                if name in _WRAPPERS:
                    return self.annotated(first, scope, origin, depth + 1)
                if name == "Union" and isinstance(inside, ast.Tuple):
                    found = (self.annotated(each, scope, origin, depth + 1) for each in inside.elts)
                    return next((each for each in found if each is not None), None)
                if name in _ITEMS:
                    item = self.annotated(first, scope, origin, depth + 1)
                    return ListOf(item) if item is not None else None
                if name in ("sessionmaker", "async_sessionmaker", "scoped_session", "async_scoped_session", "Query"):
                    return self.annotated(value, scope, origin, depth + 1)
                if name in ("type", "Type"):
                    symbol = self.project.resolve(first, scope)
                    return ClassReference(symbol) if isinstance(symbol, Binding) and symbol.kind == "class" else None
                if name in ("AbstractContextManager", "ContextManager"):
                    return Manager(self.annotated(first, scope, origin, depth + 1), is_async=False)
                if name in ("AbstractAsyncContextManager", "AsyncContextManager"):
                    return Manager(self.annotated(first, scope, origin, depth + 1), is_async=True)
                if name in ("Awaitable", "Coroutine"):
                    last = inside.elts[-1] if isinstance(inside, ast.Tuple) else inside
                    return Coroutine(self.annotated(last, scope, origin, depth + 1))
                if name == "Callable" and isinstance(inside, ast.Tuple) and len(inside.elts) > 1:
                    result = self.annotated(inside.elts[1], scope, origin, depth + 1)
                    match result:
                        case Instance(kind="Session"):
                            return Instance(kind="sessionmaker")
                        case Instance(kind="AsyncSession"):
                            return Instance(kind="async_sessionmaker")
                    return None
                return self.annotated(value, scope, origin, depth + 1)
            case ast.Name() | ast.Attribute():
                symbol = self.project.resolve(annotation, scope)
                match symbol:
                    case External(name=dotted):
                        kind = kind_of(dotted)
                        return Instance(kind=kind, origin=origin) if kind else Outside(f"{dotted}()")
                    case Binding(kind="class"):
                        found_made = self.made(symbol)
                        return _replace(found_made, origin=origin) if isinstance(found_made, Instance) else found_made
                    case Binding(kind="assigned", value=ast.expr() as value):
                        return self.annotated(value, symbol.scope, origin, depth + 1)
                return None
            case _:
                return None

    # Calls

    def _call(self, call: ast.Call, scope: Scope, context: Context) -> Value | None:  # noqa: PLR0911  a case for each kind
        function = self.infer(call.func, scope, context)
        match function:
            case Outside(name=dotted):
                return self._outside_call(dotted, call, scope, context)
            case ClassReference(cls=cls):
                return self._construct(cls, call, scope, context)
            case Callable():
                return self.called(function, self.bound(function, call, scope, context))
            case Partial(function=inner):
                if isinstance(inner, Callable):
                    return self.called(inner, self.bound(inner, call, scope, context, function))
                return None
            case Instance():
                return library_calls.call_instance(function, call)
            case Method():
                return library_calls.call_method(function, call, scope, context, self)
            case Object():
                method = self._member(function, "__call__")
                if isinstance(method, Callable):
                    return self.called(method, self.bound(method, call, scope, context))
                return None
            case _:
                return None

    def _context_variable(self, expression: ast.expr, scope: Scope) -> Value | None:
        symbol = self.project.resolve(expression, scope)
        annotation = symbol.annotation if isinstance(symbol, Binding) else None
        if isinstance(annotation, ast.Subscript) and last_name(annotation.value) == "ContextVar":
            return self.annotated(annotation.slice, scope, symbol)
        return None

    def _construct(self, cls: Binding, call: ast.Call, scope: Scope, context: Context) -> Value | None:
        made = self.made(cls)
        if isinstance(made, Instance):
            return _replace(made, origin=call)
        if isinstance(made, Entity):
            return Entity(cls=cls, eager=frozenset(), made=True)
        initializer = self.class_member(cls, "__init__")
        if initializer is not None and isinstance(initializer.node, Function):
            method = Callable(
                initializer.node, initializer.scope.module.scope_of(initializer.node), NOTHING, Object(cls)
            )
            return Object(cls, self.bound(method, call, scope, context))
        return Object(cls, self._fields(cls, call, scope, context))

    def _fields(self, cls: Binding, call: ast.Call, scope: Scope, context: Context) -> Context:
        """Bind what a dataclass (or the like) is constructed with to its fields."""
        node = cls.node
        assert isinstance(node, ast.ClassDef)
        names = [
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        bindings = cls.scope.module.scope_of(node).bindings
        given = dict(zip(names, call.args, strict=False))
        given.update({each.arg: each.value for each in call.keywords if each.arg})
        found = {
            bindings[name][-1]: value
            for name, expression in given.items()
            if name in bindings and (value := self.infer(expression, scope, context)) is not None
        }
        return _kept(frozenset(found.items()))

    def _outside_call(  # noqa: C901, PLR0911, PLR0912  a case for each function that is known
        self, dotted: str, call: ast.Call, scope: Scope, context: Context
    ) -> Value | None:
        if dotted == "contextvars.ContextVar().get" and isinstance(call.func, ast.Attribute):
            return self._context_variable(call.func.value, scope)
        if dotted in CONNECTS:
            return Instance(kind="DriverConnection", origin=call)
        name = dotted.rpartition(".")[2]
        if of_sqlalchemy(dotted):
            return library_calls.call_function(name, call, scope, context, self)
        kind = kind_of(dotted)
        if kind is not None:
            return Instance(kind=kind, origin=call)
        first = self.infer(call.args[0], scope, context) if call.args else None
        match name:
            case "partial" if dotted == "functools.partial" and first is not None:
                return Partial(first, call, scope, context)
            case "closing" | "aclosing":
                return Manager(first, is_async=name == "aclosing")
            case "cast" if len(call.args) > 1:
                return self.annotated(call.args[0], scope, call)
            case "next" | "anext":
                return _item(first)
            case "enter_context" if first is not None:
                return self.entered(first)
            case "enter_async_context":
                return Coroutine(self.entered(first))
            case "gather":
                items = [self.infer(each, scope, context) for each in call.args]
                return Coroutine(TupleOf(tuple(each.value if isinstance(each, Coroutine) else None for each in items)))
            case "wait_for" | "shield" | "create_task" | "ensure_future":
                return first
            case _ if dotted.startswith("builtins.") and name in _SAME_ITEMS:
                items_of = _item(self.infer(call.args[-1], scope, context) if name == "filter" else first)
                return ListOf(items_of) if items_of is not None else None
            case _ if name[:1].isupper():
                return Outside(f"{dotted}()")
            case _:
                return None

    def called(self, function: Callable, context: Context) -> Value | None:
        """Return what a call of a project's function gives: a coroutine, a generator, or what it returns."""
        node = function.node
        if isinstance(node, ast.Lambda):
            return self.infer(node.body, function.scope, context)
        decorators = decorator_names(node)
        yielded = next(yields_of(node), None)
        is_async = isinstance(node, ast.AsyncFunctionDef)
        if yielded is not None:
            value = self._yielded(function, context)
            if "contextmanager" in decorators or "asynccontextmanager" in decorators:
                return Manager(value, is_async, function, context)
            return Generator(function, value, is_async, context)
        value = self._returned(function, context)
        return Coroutine(value) if is_async else value

    def _yielded(self, function: Callable, context: Context) -> Value | None:
        node = function.node
        assert isinstance(node, Function)
        for each in yields_of(node):
            value = each.value
            found = self.infer(value, function.scope, context)
            if isinstance(each, ast.YieldFrom):
                found = _item(found)
            if found is not None:
                return found
        match node.returns:
            case ast.Subscript(value=outer, slice=inside) if last_name(outer) in _YIELDS:
                first = inside.elts[0] if isinstance(inside, ast.Tuple) and inside.elts else inside
                return self.annotated(first, function.scope.parent or function.scope, node)
        return None

    def _returned(self, function: Callable, context: Context) -> Value | None:
        node = function.node
        assert isinstance(node, Function)
        for each in _returns_of(node):
            found = self.infer(each, function.scope, context)
            if found is not None:
                return found
        return self.annotated(node.returns, function.scope.parent or function.scope, node)

    def _returned_by(self, method: Value | None) -> Value | None:
        return self.called(method, self._bind(method, {})) if isinstance(method, Callable) else None

    def bound(
        self, function: Callable, call: ast.Call, scope: Scope, context: Context, partial: Partial | None = None
    ) -> Context:
        """Return the context of a function's body in one call of it."""
        parameters = [each.arg for each in _positional(function.node)]
        if function.bound is not None and parameters:
            parameters = parameters[1:]
        given: dict[str, Value] = {}
        calls = [(partial.call, partial.scope, partial.context, 1)] if partial else []
        position = 0
        for each, where, around, skipped in (*calls, (call, scope, context, 0)):
            for argument in each.args[skipped:]:
                if isinstance(argument, ast.Starred) or position >= len(parameters):
                    break
                value = self.infer(argument, where, around)
                if value is not None:
                    given[parameters[position]] = value
                position += 1
            for keyword in each.keywords:
                value = self.infer(keyword.value, where, around) if keyword.arg else None
                if keyword.arg and value is not None:
                    given[keyword.arg] = value
        return self._bind(function, given)

    def _bind(self, function: Callable, given: dict[str, Value]) -> Context:
        found = dict(function.context)
        parameters = _positional(function.node)
        if function.bound is not None and parameters:
            given = {**given, parameters[0].arg: function.bound}
        for name, value in given.items():
            for binding in function.scope.bindings.get(name, ())[:1]:
                if binding.kind == "parameter":
                    found[binding] = value
        return _kept(frozenset(found.items()))

    def bind_self(self, method: Callable) -> Context:
        """Return the context of a method's body that is called without arguments."""
        return self._bind(method, {})

    def entered(self, manager: Value | None) -> Value | None:
        """Return what `with … as name` gives."""
        match manager:
            case Manager(value=value):
                return value
            case Instance():
                return manager
            case Object():
                for name in ("__enter__", "__aenter__"):
                    found = self._returned_by(self._member(manager, name))
                    found = found.value if isinstance(found, Coroutine) else found
                    if found is not None:
                        return found
                return manager
            case Coroutine(value=value, of_library=True):
                return value
            case _:
                return None

    def lazy(self, entity: Entity, name: str) -> bool:
        """Tell whether reading an attribute of an object loads it, and the query did not."""
        return (
            entity.eager is not None
            and name not in entity.eager
            and name in lazy_relationships(entity.cls, self.project)
        )


def yields_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.Yield | ast.YieldFrom]:
    """Yield the yields of a function's own body."""
    for each in own_nodes(node):
        if isinstance(each, (ast.Yield, ast.YieldFrom)):
            yield each


def _returns_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    for each in own_nodes(node):
        if isinstance(each, ast.Return) and each.value is not None:
            yield each.value


@lru_cache(maxsize=4096)
def own_nodes(function: ast.AST) -> tuple[ast.AST, ...]:
    """Return the nodes of a function's body in the order of the file, without those of functions and classes in it."""
    body = getattr(function, "body", [])
    stack: list[ast.AST] = [body] if isinstance(body, ast.AST) else list(reversed(body))
    found: list[ast.AST] = []
    while stack:
        node = stack.pop()
        found.append(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack.extend(reversed(node.decorator_list))
        elif not isinstance(node, ast.Lambda):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return tuple(found)


def property_of(node: ast.AST) -> bool:
    """Tell whether a function is a property."""
    return not {"property", "cached_property", "hybrid_property"}.isdisjoint(decorator_names(node))


def decorator_names(node: ast.AST) -> set[str]:
    """Return the last names of a function's decorators."""
    found = set()
    for each in getattr(node, "decorator_list", ()):
        found.add(last_name(each))
    return found


def parse_annotation(text: str) -> ast.expr | None:
    """Return the expression in a string."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def _positional(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args]


def _class_of(scope: Scope) -> Binding | None:
    """Return the class whose method opens ``scope``."""
    parent = scope.parent
    if parent is None or not isinstance(parent.node, ast.ClassDef) or parent.parent is None:
        return None
    found = parent.parent.bindings.get(parent.node.name, ())
    return next((each for each in found if each.node is parent.node), None)


def _as_seen(bindings: list[Binding], use: ast.AST, scope: Scope) -> Iterator[Binding]:
    """Yield bindings, the one most probably meant first: the nearest above, in the same function."""
    if len(bindings) == 1:
        yield bindings[0]
        return
    same = bindings[0].scope.function is scope.function
    at = (getattr(use, "lineno", 0), getattr(use, "col_offset", 0))
    before = [each for each in bindings if not same or _position(each) <= at]
    yield from reversed(before)
    if not before or bindings[0].scope.function is None:
        yield from (each for each in bindings if each not in before)


def _position(binding: Binding) -> tuple[int, int]:
    node: ast.AST = binding.value if binding.value is not None and binding.kind != "parameter" else binding.node
    return getattr(node, "end_lineno", 0) or 0, getattr(node, "end_col_offset", 0) or 0


def _item(value: Value | None, position: int | None = None) -> Value | None:
    match value:
        case ListOf(item=item):
            return item
        case TupleOf(items=items) if position is not None:
            return items[position] if position < len(items) else None
        case TupleOf(items=items):
            return next((each for each in items if each is not None), None)
        case Generator(value=item):
            return item
        case Instance(kind="Result" | "Query" | "AsyncResult", entity=Entity() as entity):
            return entity if value.scalar or value.kind == "Query" else TupleOf((entity,))
        case _:
            return None


def _assigned_to_self(  # noqa: C901  the ways to assign
    node: ast.ClassDef, module: Module
) -> dict[str, list[tuple[ast.expr, Scope]]]:
    found: dict[str, list[tuple[ast.expr, Scope]]] = {}
    for method in node.body:
        if not isinstance(method, Function):
            continue
        parameters = _positional(method)
        if not parameters:
            continue
        scope = module.scope_of(method)
        for each in own_nodes(method):
            pairs: list[tuple[ast.AST | None, ast.expr]] = []
            match each:
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    pairs = list(zip(targets, values, strict=False))
                case ast.Assign(targets=targets, value=value):
                    pairs = [(target, value) for target in targets]
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    pairs = [(target, value)]
                case ast.With(items=items) | ast.AsyncWith(items=items):
                    pairs = [(item.optional_vars, item.context_expr) for item in items if item.optional_vars]
            for place, given in pairs:
                match place:
                    case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner == parameters[0].arg:
                        found.setdefault(name, []).append((given, scope))
    return found


def _kept_values(module: Module) -> dict[str, list[tuple[ast.expr, Scope]]]:
    """Return what a module puts into `….state.name` and `mapping["name"]`."""
    found: dict[str, list[tuple[ast.expr, Scope]]] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                match target:
                    case ast.Attribute(value=ast.Attribute(attr="state"), attr=name):
                        found.setdefault(f".{name}", []).append((node.value, module.scope_of(node)))
                    case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str(name))):
                        found.setdefault(f"[{name}]", []).append((node.value, module.scope_of(node)))
    return found


def _kept(context: Context) -> Context:
    """Leave out of a context what says nothing, and what is nested too deeply to be kept."""
    return frozenset((binding, value) for binding, value in context if _levels(value) < _NESTED)


def _levels(value: Value | None) -> int:
    match value:
        case Object(context=context) | Callable(context=context):
            return 1 + max((_levels(each) for _, each in context), default=0)
        case ListOf(item=item):
            return 1 + _levels(item)
        case TupleOf(items=items):
            return 1 + max(map(_levels, items), default=0)
        case Manager(value=inner) | Generator(value=inner) | Coroutine(value=inner):
            return 1 + _levels(inner)
        case Partial():
            return 2
        case _:
            return 0


def _replace(instance: Instance, *, origin: object) -> Instance:
    return Instance(
        kind=instance.kind, origin=origin, expires=instance.expires, entity=instance.entity, scalar=instance.scalar
    )
