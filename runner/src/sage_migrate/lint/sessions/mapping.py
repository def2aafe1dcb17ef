"""Which classes are mapped to tables, and which of their attributes are loaded only when they are read."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Binding, External, Project
from sage_migrate.lint.project.names import last_name
from sage_migrate.lint.sessions.libraries import EAGER_LAZY

_BASES = frozenset(("DeclarativeBase", "DeclarativeBaseNoMeta", "SQLModel", "AsyncAttrs"))
_DEPTH = 8


def is_mapped(cls: Binding, project: Project) -> bool:
    """Tell whether a class is mapped: it has a table's name, or a base that SQLAlchemy or SQLModel gave."""
    for each in lineage(cls, project):
        if not isinstance(each.node, ast.ClassDef):
            return True
        if "__tablename__" in each.scope.module.scope_of(each.node).bindings:
            return True
        for symbol in project.bases(each):
            if isinstance(symbol, External) and symbol.name.rpartition(".")[2] == "SQLModel":
                return any(keyword.arg == "table" for keyword in each.node.keywords)
    return False


def lineage(cls: Binding, project: Project, depth: int = 0) -> Iterator[Binding]:
    """Yield a class and the classes of the project that it derives from."""
    yield cls
    if isinstance(cls.node, ast.ClassDef) and depth < _DEPTH:
        for found in project.bases(cls):
            if isinstance(found, Binding) and found.kind == "class":
                yield from lineage(found, project, depth + 1)


def lazy_relationships(cls: Binding, project: Project) -> frozenset[str]:
    """Return the relationships and deferred columns of a class that are loaded when they are read."""
    found: set[str] = set()
    for each in lineage(cls, project):
        if not isinstance(each.node, ast.ClassDef):
            continue
        for name, bindings in each.scope.module.scope_of(each.node).bindings.items():
            value, annotation = bindings[-1].value, bindings[-1].annotation
            if last_name(annotation) in {"WriteOnlyMapped", "DynamicMapped"}:
                continue
            if isinstance(value, ast.Call) and _is_lazy(value):
                found.add(name)
    return frozenset(found)


def column_names(cls: Binding, project: Project) -> frozenset[str]:
    """Return the attributes of a class that hold columns or relationships."""
    found: set[str] = set()
    for each in lineage(cls, project):
        if isinstance(each.node, ast.ClassDef):
            bindings = each.scope.module.scope_of(each.node).bindings
            found.update(
                name for name, bound in bindings.items() if bound[-1].kind == "assigned" and not name.startswith("__")
            )
    return frozenset(found)


def _is_lazy(call: ast.Call) -> bool:
    name = last_name(call.func)
    keywords = {each.arg: each.value for each in call.keywords}
    if name in ("relationship", "Relationship"):
        lazy = keywords.get("lazy")
        extra = keywords.get("sa_relationship_kwargs")
        if isinstance(extra, ast.Dict):
            pairs = zip(extra.keys, extra.values, strict=True)
            lazy = next((v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "lazy"), lazy)
        elif extra is not None:
            return False
        return lazy is None or (
            isinstance(lazy, ast.Constant) and lazy.value not in EAGER_LAZY and lazy.value is not False
        )
    if name == "deferred":
        return True
    deferred = keywords.get("deferred")
    return name == "mapped_column" and isinstance(deferred, ast.Constant) and deferred.value is True
