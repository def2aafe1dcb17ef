"""What the calls of database libraries return."""
# ruff: noqa: SIM905  a list of words is read as one

import ast
from typing import TYPE_CHECKING

from sage_migrate.lint.project import Scope
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.sessions.libraries import AWAITED, EAGER_LOADERS, kind_of
from sage_migrate.lint.sessions.values import (
    ClassReference,
    Context,
    Coroutine,
    Entity,
    Instance,
    ListOf,
    Manager,
    Method,
    Outside,
    TupleOf,
    Value,
)

if TYPE_CHECKING:
    from sage_migrate.lint.sessions.inference import Inference

_EXECUTES = frozenset(("execute", "scalars", "scalar", "exec", "stream", "stream_scalars"))
_SAME = frozenset("unique yield_per columns partitions tuples freeze populate_existing execution_options".split())
_ONE = frozenset("one one_or_none first scalar_one scalar_one_or_none scalar fetchone".split())
_MANY = frozenset("all fetchall fetchmany".split())


def call_function(  # noqa: PLR0911  a case for each
    name: str, call: ast.Call, scope: Scope, context: Context, inference: "Inference"
) -> Value | None:
    """Return what a function or class of SQLAlchemy's or SQLModel's gives."""
    first = inference.infer(call.args[0], scope, context) if call.args else None
    match name:
        case "create_engine" | "engine_from_config" | "create_mock_engine":
            return Instance(kind="Engine", origin=call)
        case "create_async_engine" | "async_engine_from_config" | "AsyncEngine":
            return Instance(kind="AsyncEngine", origin=call)
        case "sessionmaker" | "async_sessionmaker":
            return _maker(name, call, scope, context, inference)
        case "scoped_session" | "async_scoped_session":
            expires = first.expires if isinstance(first, Instance) else None
            is_async = name == "async_scoped_session" or getattr(first, "kind", "") == "async_sessionmaker"
            return Instance(kind="async_scoped_session" if is_async else "scoped_session", origin=call, expires=expires)
        case "Session" | "AsyncSession":
            return Instance(kind=name, origin=call, expires=_expires(call))
        case "select" | "query_expression":
            return Instance(kind="Select", entity=_entity(first))
        case _:
            kind = kind_of(f"sqlalchemy.{name}")
            return Instance(kind=kind, origin=call) if kind else None


def call_instance(instance: Instance, call: ast.Call) -> Value | None:
    """Return what calling an object gives: a session, of a maker."""
    return made_by(instance, call)


def made_by(maker: Instance, origin: object) -> Instance | None:
    """Return the session that a maker makes."""
    match maker.kind:
        case "sessionmaker":
            return Instance(kind="Session", origin=origin, expires=maker.expires)
        case "async_sessionmaker":
            return Instance(kind="AsyncSession", origin=origin, expires=maker.expires)
        case "scoped_session" | "async_scoped_session":
            return maker
        case _:
            return None


def call_method(  # noqa: C901, PLR0911, PLR0912  a case for each kind of object
    method: Method, call: ast.Call, scope: Scope, context: Context, inference: "Inference"
) -> Value | None:
    """Return what a method of a library's object gives."""
    of, name = method.of, method.name
    match of.kind:
        case "Engine" if name in ("connect", "begin", "raw_connection"):
            return (
                Manager(Instance(kind="Connection", origin=call), is_async=False)
                if name != "raw_connection"
                else (Instance(kind="DriverConnection", origin=call))
            )
        case "AsyncEngine" if name in ("connect", "begin"):
            return Manager(Instance(kind="AsyncConnection", origin=call), is_async=True)
        case "sessionmaker" | "async_sessionmaker" if name == "begin":
            return Manager(made_by(of, call), is_async=of.kind == "async_sessionmaker", commits=True)
        case "sessionmaker" | "async_sessionmaker" if name == "__call__":
            return made_by(of, call)
        case "Pool" | "DriverConnection" if name in ("getconn", "connect", "execute", "cursor", "connection"):
            if name == "connection":
                return Manager(Instance(kind="DriverConnection", origin=call), is_async=False)
            return Instance(kind="Cursor" if name in ("cursor", "execute") else "DriverConnection", origin=call)
        case "Session" | "scoped_session" | "AsyncSession" | "async_scoped_session":
            return _session_method(of, name, call, scope, context, inference)
        case "Connection" | "AsyncConnection" if name in ("begin", "begin_nested"):
            is_async = of.kind == "AsyncConnection"
            transaction = Instance(kind="AsyncTransaction" if is_async else "Transaction", origin=of.origin)
            return Manager(transaction, is_async=is_async)
        case "Connection" | "AsyncConnection" if name in _EXECUTES:
            result = Instance(kind="AsyncResult" if name.startswith("stream") else "Result")
            if name.startswith("stream"):
                return Coroutine(result, of_library=True)
            return result if of.kind == "Connection" else Coroutine(result, of_library=True)
        case "AsyncConnection" | "AsyncEngine" if name in AWAITED.get(of.kind, ()):
            return Coroutine(None, of_library=True)
        case "Connection" | "AsyncConnection" if name == "execution_options":
            return of if of.kind == "Connection" else Coroutine(of, of_library=True)
        case "Query" if name in _ONE:
            return of.entity
        case "Query" if name in _MANY:
            return ListOf(of.entity) if of.entity else None
        case "Query" if name in ("count", "exists", "delete", "update"):
            return None
        case "Query" | "Select":
            return _refined(of, name, call)
        case "Result" | "AsyncResult":
            return _result_method(of, name)
        case _:
            return None


def _session_method(  # noqa: C901, PLR0913, PLR0917  a case for each method
    of: Instance, name: str, call: ast.Call, scope: Scope, context: Context, inference: "Inference"
) -> Value | None:
    is_async = of.kind.lower().startswith("async")
    first = inference.infer(call.args[0], scope, context) if call.args else None
    found: Value | None = None
    match name:
        case "query" | "query_property":
            return Instance(kind="Query", entity=_loaded(_entity(first), of), origin=of.origin)
        case "begin" | "begin_nested":
            return Manager(of, is_async=is_async, commits=name == "begin")
        case "__call__" if of.kind.endswith("scoped_session"):
            return of
        case "get" | "get_one":
            entity = _entity(first)
            options = next((each.value for each in call.keywords if each.arg == "options"), None)
            if entity is not None and options is not None:
                entity = _with_options(
                    entity, options.elts if isinstance(options, (ast.List, ast.Tuple)) else [options]
                )
            found = _loaded(entity, of)
        case "merge":
            found = first
        case "scalar":
            found = _loaded(first.entity, of) if isinstance(first, Instance) else None
        case "connection":
            found = Instance(kind="AsyncConnection" if is_async else "Connection", origin=of.origin)
        case _ if name in _EXECUTES:
            entity = _loaded(first.entity, of) if isinstance(first, Instance) else None
            found = Instance(
                kind="AsyncResult" if name.startswith("stream") else "Result",
                entity=entity,
                scalar=name in ("scalars", "exec", "stream_scalars"),
                origin=of.origin,
            )
        case "sync_session":
            return None
        case _ if not is_async or name not in AWAITED["async_scoped_session"]:
            return None
    return Coroutine(found, of_library=True) if is_async else found


def _result_method(of: Instance, name: str) -> Value | None:
    entity = of.entity
    found: Value | None
    if name in ("scalars", *_SAME):
        return Instance(kind=of.kind, entity=entity, scalar=of.scalar or name == "scalars", origin=of.origin)
    if name == "mappings":
        return Instance(kind=of.kind, origin=of.origin)
    if name in _ONE:
        found = entity if of.scalar or name.startswith("scalar") else (TupleOf((entity,)) if entity else None)
    elif name in _MANY:
        item = entity if of.scalar else (TupleOf((entity,)) if entity else None)
        found = ListOf(item) if item else None
    else:
        return None
    return Coroutine(found, of_library=True) if of.kind == "AsyncResult" else found


def _refined(of: Instance, name: str, call: ast.Call) -> Instance:
    entity = of.entity
    if entity is not None and name == "options":
        entity = _with_options(entity, call.args)
    elif entity is not None and name in (
        "with_only_columns",
        "add_columns",
        "from_statement",
        "with_entities",
        "columns",
    ):
        entity = None
    return Instance(kind=of.kind, entity=entity, origin=of.origin)


def _with_options(entity: Entity, options: list[ast.expr]) -> Entity:
    """Add what loader options load at once; an option that is not a loader's call makes all unknown."""
    eager = entity.eager
    for option in options:
        names: list[str] = []
        node: ast.expr = option
        understood = False
        while isinstance(node, ast.Call):
            loader = last_name(node.func)
            understood = loader in EAGER_LOADERS | {
                "defaultload",
                "load_only",
                "undefer",
                "defer",
                "raiseload",
                "noload",
            }
            if not understood:
                break
            if loader in EAGER_LOADERS | {"undefer"}:
                names += [each.attr for each in node.args if isinstance(each, ast.Attribute)]
                understood = all(isinstance(each, ast.Attribute) for each in node.args)
            node = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if not understood or eager is None:
            return Entity(cls=entity.cls, eager=None, session=entity.session, made=entity.made)
        eager |= frozenset(names)
    return Entity(cls=entity.cls, eager=eager, session=entity.session, made=entity.made)


def _entity(value: Value | None) -> Entity | None:
    from sage_migrate.lint.sessions.values import Entity as Mapped

    match value:
        case ClassReference(cls=cls):
            return Mapped(cls=cls, eager=frozenset())
        case Outside():
            return None
        case _:
            return None


def _loaded(entity: Entity | None, session: Instance) -> Entity | None:
    if entity is None:
        return None
    return Entity(cls=entity.cls, eager=entity.eager, session=session)


def _maker(name: str, call: ast.Call, scope: Scope, context: Context, inference: "Inference") -> Instance:
    given = next((each.value for each in call.keywords if each.arg == "class_"), None)
    if given is None and len(call.args) > 1:
        given = call.args[1]
    cls = inference.infer(given, scope, context)
    engine = inference.infer(call.args[0], scope, context) if call.args else None
    derived = inference.derived_kind(cls.cls) if isinstance(cls, ClassReference) else None
    is_async = (
        name == "async_sessionmaker"
        or (isinstance(cls, Outside) and kind_of(cls.name) == "AsyncSession")
        or (derived is not None and derived.kind == "AsyncSession")
        or (isinstance(engine, Instance) and engine.kind == "AsyncEngine")
    )
    return Instance(kind="async_sessionmaker" if is_async else "sessionmaker", origin=call, expires=_expires(call))


def _expires(call: ast.Call) -> bool | None:
    for each in call.keywords:
        if each.arg is None:
            return None
        if each.arg == "expire_on_commit":
            return each.value.value if isinstance(each.value, ast.Constant) else None  # type: ignore[return-value]
    return True
