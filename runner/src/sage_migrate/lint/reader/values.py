"""The values that the evaluation of a revision knows beside Python's own constants and containers."""

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Unknown:
    """A value that only running the code would tell."""

    __slots__ = ()

    def __bool__(self) -> bool:
        """Refuse: the evaluation has to look first."""
        raise TypeError


UNKNOWN_VALUE = Unknown()


@dataclass(frozen=True, slots=True)
class Name:
    """Something of another package, by its dotted name: ``sqlalchemy.Integer``, ``alembic.op.execute``."""

    dotted: str

    @property
    def last(self) -> str:
        """The part after the last dot."""
        return self.dotted.rpartition(".")[2]


@dataclass(slots=True)
class Made:
    """What a call of another package's returned: ``sa.Column("id", …)``, ``sa.text("…")``; methods stack in ``source``."""

    name: str
    args: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)
    source: Any = None


@dataclass(slots=True)
class Compared:
    """``left operator right`` on columns of SQLAlchemy's."""

    operator: str
    left: Any
    right: Any


@dataclass(slots=True)
class Function:
    """A function or lambda of the project's."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: "Scope"


@dataclass(slots=True)
class BoundConnection:
    """``op.get_bind()``, a session on it, or a context; ``kind`` tells which."""

    kind: str
    autocommit: bool = False


@dataclass(slots=True)
class Batch:
    """The object of ``with op.batch_alter_table(…) as batch_op``."""

    table: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that a module imports, looked up only when it is used: most of what is imported is not."""

    file: Path
    name: str | None
    """None for the module itself."""
    dotted: str


@dataclass(slots=True)
class Scope:
    """The names of a module or of a call, innermost first."""

    names: dict[str, Any]
    outer: "Scope | None" = None
    path: str = ""

    def look_up(self, name: str) -> Any:
        """Return the value of ``name``; KeyError where nobody gave it one."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        raise KeyError(name)


def is_unknown(value: Any) -> bool:
    """Tell whether ``value`` is not a plain Python value through and through."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(is_unknown(each) for each in value)
    if isinstance(value, dict):
        return any(is_unknown(each) for pair in value.items() for each in pair)
    return isinstance(value, (Unknown, Name, Made, Compared, Function, BoundConnection, Batch))
