"""What an expression of application code may be, as far as sessions are concerned."""

import ast
from dataclasses import dataclass, field
from typing import Literal

from sage_migrate.lint.project import Binding, Module, Scope

Kind = Literal[
    # synchronous
    "Engine",
    "Connection",
    "Session",
    "scoped_session",
    "sessionmaker",
    "Query",
    "Transaction",
    "Pool",
    "DriverConnection",
    "Cursor",
    # asynchronous
    "AsyncEngine",
    "AsyncConnection",
    "AsyncSession",
    "async_scoped_session",
    "async_sessionmaker",
    "AsyncTransaction",
    "AsyncResult",
    # both
    "Result",
    "Select",
]
Context = frozenset[tuple[Binding, "Value"]]
"""What parameters stand for in one call."""
NOTHING: Context = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """An object of a mapped class."""

    cls: Binding
    eager: frozenset[str] | None = None
    """Relationships that the query loads at once; None: unknown."""
    session: "Instance | None" = None
    """Where it came from."""
    made: bool = False
    """Constructed, not loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """An object of a database library."""

    kind: Kind
    origin: object = None
    """What tells one session from another: the call that made it, the dependency that provides it, the parameter."""
    expires: bool | None = None
    """Whether objects are expired on commit, None where nobody can tell."""
    entity: Entity | None = None
    """What a query or its result holds."""
    scalar: bool = False
    """Whether a result gives objects, not rows."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a library's object, not called yet."""

    of: Instance
    name: str


@dataclass(frozen=True, slots=True)
class Object:
    """An object of one of the project's classes; the context is its constructor's."""

    cls: Binding
    context: Context = NOTHING


@dataclass(frozen=True, slots=True)
class ClassReference:
    """One of the project's classes itself."""

    cls: Binding


@dataclass(frozen=True, slots=True)
class Callable:
    """One of the project's functions or lambdas, with what its closure and `self` stand for."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    """The scope that the function opens."""
    context: Context = NOTHING
    bound: "Object | ClassReference | Entity | None" = None


@dataclass(frozen=True, slots=True)
class Partial:
    """A function with some of its arguments."""

    function: "Value"
    call: ast.Call
    scope: Scope
    context: Context


@dataclass(frozen=True, slots=True)
class Coroutine:
    """What has to be awaited."""

    value: "Value | None"
    of_library: bool = False


@dataclass(frozen=True, slots=True)
class Generator:
    """What a generator function returned: its body runs when somebody iterates."""

    function: Callable
    value: "Value | None"
    is_async: bool
    context: Context = NOTHING


@dataclass(frozen=True, slots=True)
class Manager:
    """A context manager: of a project's generator function, or of a library."""

    value: "Value | None"
    is_async: bool
    function: Callable | None = None
    context: Context = NOTHING
    commits: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several of one kind."""

    item: "Value"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """A fixed number of values."""

    items: tuple["Value | None", ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """Something that is neither the project's nor an object of a database library, by its dotted name."""

    name: str


@dataclass(frozen=True, slots=True)
class ModuleReference:
    """A module of the project."""

    module: Module = field(hash=True)


Value = (
    Entity
    | Instance
    | Method
    | Object
    | ClassReference
    | Callable
    | Partial
    | Coroutine
    | Generator
    | Manager
    | ListOf
    | TupleOf
    | Outside
    | ModuleReference
)
