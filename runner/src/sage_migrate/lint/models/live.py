"""Imports a project's models and tells what SQLAlchemy really made of them."""

import ast
import contextlib
import importlib
import inspect
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from sage_migrate.errors import UsageError
from sage_migrate.lint.models.classes import RESERVED, Attribute, ModelClass, models_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.project.index import LIBRARIES
from sage_migrate.lint.rule import Finding
from sage_migrate.lint.rules.models import (
    column_dropped,
    json_attribute,
    model_key_without_index,
    naive_datetime,
    reserved_attribute,
    reserved_backref,
    reserved_table_column,
    shared_default,
)

_POSTGRESQL: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
_OTHERS = LIBRARIES | sys.stdlib_module_names
_OBJECTS = {"metadata": sa.MetaData, "registry": orm.registry}
_DECLARED = tuple(
    getattr(orm, name) for name in ("MappedColumn", "declared_attr", "RelationshipProperty") if hasattr(orm, name)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveFinding:
    """What the rule ``code`` says of a model that was imported, and of which file."""

    code: str
    path: Path
    finding: Finding


def inspect_models(names: Iterable[str], project: Project) -> list[LiveFinding]:
    """Import each ``app.models:Base`` of ``names`` and return what is wrong with the models that it maps.

    Raises:
        UsageError: something cannot be imported, is no base, or its mappers cannot be configured.
    """
    found: dict[LiveFinding, None] = {}
    for name in names:
        try:
            registry, module = _import(name)
        except UsageError as error:
            refusal = _refusal(error.__cause__, project)
            if refusal is None:
                raise
            found[refusal] = None
            continue
        sources = _Sources(project, Path(module.__file__ or name))
        for mapper in sorted(registry.mappers, key=lambda each: (each.class_.__module__, each.class_.__qualname__)):
            found.update(dict.fromkeys(_Mapped(mapper, sources).findings()))
    return list(found)


def _import(name: str) -> tuple[Any, Any]:
    dotted, _, path = name.partition(":")
    if not dotted or not path:
        raise UsageError(f"'{name}' names no base.", remedy="Write --import app.models:Base.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module(dotted)
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{dotted} cannot be imported{_place(error)}: {_said(error)} Its models were not inspected.",
                remedy="Import it in Python first, with the environment that it needs.",
            ) from error
        base: Any = module
        for part in path.split("."):
            if not hasattr(base, part):
                raise UsageError(f"{dotted} has no {path}.", remedy="Name its declarative base or registry.")
            base = getattr(base, part)
        registry = next(
            (
                each
                for each in (base, *(getattr(base, one, None) for one in ("registry", "_sa_registry")))
                if isinstance(each, orm.registry)
            ),
            None,
        )
        if registry is None:
            raise UsageError(f"{name} is no declarative base and no registry.", remedy="Name the base of the models.")
        try:
            registry.configure()
        except Exception as error:
            raise UsageError(
                f"The mappers of {name} cannot be configured: {_said(error)} Its models were not inspected.",
                remedy="Import all modules that the models refer to in the one that is named.",
            ) from error
    return registry, module


def _refusal(error: BaseException | None, project: Project) -> LiveFinding | None:
    """Return what is wrong with the class that SQLAlchemy was mapping when it raised, where that is a reserved name."""
    refused: type | None = None
    files: dict[str, Path] = {}  # a module whose import failed is in sys.modules no more
    for frame, _ in traceback.walk_tb(error.__traceback__ if error is not None else None):
        module, cls = str(frame.f_globals.get("__name__")), frame.f_locals.get("cls")
        files[module] = Path(frame.f_code.co_filename)
        if module.startswith("sqlalchemy.") and isinstance(cls, type) and not cls.__module__.startswith("sqlalchemy."):
            refused = cls
    for name in RESERVED if refused is not None else ():
        if refused is None or (
            name not in inspect.get_annotations(refused)
            and isinstance(getattr(refused, name, None), (type(None), _OBJECTS[name]))
        ):
            continue
        sources = _Sources(project, files.get(refused.__module__, Path(refused.__module__)), files)
        attribute = sources.attribute(refused, name)
        path, line, column = sources.line(refused, name)
        finding = (
            reserved_attribute.found(attribute)
            if attribute is not None
            else reserved_attribute.unseen(refused.__name__, name, line, column)
        )
        told = reserved_attribute.refused(refused.__name__, name, sa.__version__)
        return LiveFinding(code="SM201", path=path, finding=replace(finding, message=told))
    return None


def _said(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}." if text else f"{type(error).__name__}."


def _place(error: BaseException) -> str:
    """Return the innermost place in the project where an error was raised."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and path.is_relative_to(Path.cwd()) and "site-packages" not in path.parts:
            return f" ({path.relative_to(Path.cwd())}:{frame.lineno})"
    return ""


class _Sources:
    """Finds the source of classes that were imported."""

    def __init__(self, project: Project, fallback: Path, files: Mapping[str, Path] | None = None) -> None:
        self.project = project
        self.fallback = fallback
        self.files = files or {}
        self.found: dict[type, ModelClass | None] = {}

    def of(self, cls: type) -> ModelClass | None:
        if cls not in self.found:
            self.found[cls] = None if cls.__module__.partition(".")[0] in _OTHERS else self._find(cls)
        return self.found[cls]

    def _find(self, cls: type) -> ModelClass | None:
        try:
            file = self.files.get(cls.__module__) or inspect.getsourcefile(cls)
        except (TypeError, OSError):
            return None
        module = self.project.module_at(Path(file)) if file else None
        for node in nodes_of(module).classes if module is not None else ():
            if module is not None and node.name == cls.__name__ and _qualified(module, node) == cls.__qualname__:
                return models_of(self.project).of(node, module)
        return None

    def attribute(self, cls: type, name: str) -> Attribute | None:
        """Return where a class's name is defined in the source."""
        for owner in cls.__mro__:
            source = self.of(owner)
            if source is not None and name in source.attributes:
                return source.attributes[name]
        return None

    def line(self, cls: type, name: str | None = None) -> tuple[Path, int, int]:
        """Return the line of an attribute, or of the class; of the module that was named where neither has one."""
        attribute = self.attribute(cls, name) if name is not None else None
        if attribute is not None:
            return attribute.owner.module.path, attribute.node.lineno, attribute.node.col_offset + 1
        source = self.of(cls)
        if source is not None:
            return source.module.path, source.node.lineno, source.node.col_offset + 1
        return self.fallback, 1, 1


def _qualified(module: Module, node: ast.ClassDef) -> str:
    name = node.name
    above = module.parent(node)
    while above is not None:
        if isinstance(above, ast.ClassDef):
            name = f"{above.name}.{name}"
        elif isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{above.name}.<locals>.{name}"
        above = module.parent(above)
    return name


class _Mapped:
    """One mapped class, and where what is said of it belongs."""

    def __init__(self, mapper: Any, sources: _Sources) -> None:
        self.mapper = mapper
        self.cls: type = mapper.class_
        self.sources = sources
        self.source = sources.of(self.cls)
        self.descriptors = set(mapper.all_orm_descriptors.keys())
        inherited = mapper.inherits
        self.own = self.descriptors - (set(inherited.all_orm_descriptors.keys()) if inherited is not None else set())

    def findings(self) -> Iterator[LiveFinding]:
        """Yield what is wrong."""
        for name in RESERVED:
            yield from self._reserved(name)
        yield from self._other_sides()
        yield from self._dropped()
        if self.mapper.local_table is not None and not self.mapper.single:
            yield from self._unmapped()
            yield from self._keys()
        for attribute in self.mapper.column_attrs:
            column = attribute.columns[0]
            if attribute.key in self.own and isinstance(column, sa.Column):
                yield from self._column(attribute.key, column)

    def _attribute(self, name: str) -> Attribute | None:
        return self.sources.attribute(self.cls, name)

    def _line(self, name: str | None = None) -> tuple[Path, int, int]:
        return self.sources.line(self.cls, name)

    def _reserved(self, name: str) -> Iterator[LiveFinding]:
        attribute = self._attribute(name)
        mapped = name in self.own
        hides = hasattr(self.cls, "registry") and not isinstance(getattr(self.cls, name, None), _OBJECTS[name])
        if attribute is not None and not (attribute.is_mapped or attribute.owner.is_declarative):
            attribute = None  # a plain class's: what is wrong is that this one inherits it, or has such a table
        if attribute is not None and (mapped or hides) and attribute.kind not in ("object", "annotation"):
            yield LiveFinding(
                code="SM201", path=attribute.owner.module.path, finding=reserved_attribute.found(attribute)
            )
        elif (mapped or hides) and name not in self.mapper.relationships:
            path, line, column = self._line()
            if not mapped or self._declares_columns:
                finding = reserved_attribute.unseen(self.cls.__name__, name, line, column)
                yield LiveFinding(code="SM201", path=path, finding=finding)
            else:
                source = f"the table {self.mapper.local_table.name}"
                finding = reserved_table_column.found(self.cls.__name__, name, source, line, column)
                yield LiveFinding(code="SM203", path=path, finding=finding)

    @property
    def _declares_columns(self) -> bool:
        """Whether the columns come from the class, not from a table that was declared or found elsewhere."""
        source = self.source
        return (
            source is not None
            and source.is_declarative
            and not source.is_automapped
            and source.find("__table__") is None
        )

    def _other_sides(self) -> Iterator[LiveFinding]:
        for relationship in self.mapper.relationships:
            if relationship.key not in self.own or self._attribute(relationship.key) is None:
                continue
            backref = relationship.backref
            for argument, name in (
                ("backref", backref[0] if isinstance(backref, tuple) else backref),
                ("back_populates", relationship.back_populates),
            ):
                if name in RESERVED:
                    path, line, column = self._line(relationship.key)
                    finding = reserved_backref.found(name, argument, line, column)
                    yield LiveFinding(code="SM204", path=path, finding=finding)
                    break

    def _dropped(self) -> Iterator[LiveFinding]:
        for place, owner in enumerate(self.cls.__mro__[1:], start=1):
            if sa.inspect(owner, raiseerr=False) is not None or owner.__module__.startswith("sqlalchemy."):
                continue
            # What the class itself has under the name is meant so; `metadata` is put there by SQLAlchemy.
            meant = set(vars(self.cls)) - set(RESERVED)
            for name in self._declared(owner) - self.descriptors - meant:
                hider = next((each for each in self.cls.__mro__[1:place] if name in vars(each)), None)
                if hider is not None:
                    path, line, column = self._line()
                    finding = column_dropped.found(
                        self.cls.__name__, owner.__name__, name, hider.__name__, line, column
                    )
                    yield LiveFinding(code="SM202", path=path, finding=finding)

    def _declared(self, owner: type) -> set[str]:
        names = {name for name, value in vars(owner).items() if isinstance(value, (sa.Column, *_DECLARED))}
        source = self.sources.of(owner)
        if source is not None and not source.is_sqlmodel:
            names |= {each.name for each in source.attributes.values() if each.is_mapped}
        return {name for name in names if not name.startswith("__")}

    def _unmapped(self) -> Iterator[LiveFinding]:
        if self.mapper.exclude_properties or self.mapper.include_properties:
            return
        mapped = {id(column) for each in self.mapper.self_and_descendants for column in each.columns.values()}
        for column in self.mapper.local_table.c:
            if id(column) not in mapped:
                path, line, offset = self._line()
                name = self.cls.__name__
                finding = column_dropped.found(name, self.mapper.local_table.name, column.key, name, line, offset)
                yield LiveFinding(code="SM202", path=path, finding=finding)

    def _column(self, key: str, column: Any) -> Iterator[LiveFinding]:
        path, line, offset = self._line(key)
        attribute = self._attribute(key)
        shown = f"{attribute.owner.name if attribute is not None else self.cls.__name__}.{key}"
        sql = ""
        with contextlib.suppress(Exception):  # a type that PostgreSQL does not have
            sql = column.type.compile(dialect=_POSTGRESQL)
        if sql == "JSON":
            yield LiveFinding(code="SM211", path=path, finding=json_attribute.found(shown, line, offset))
        if "TIMESTAMP WITHOUT TIME ZONE" in sql:
            yield LiveFinding(code="SM214", path=path, finding=naive_datetime.of_type(shown, line, offset))
        elif any(
            getattr(getattr(each, "arg", None), "__name__", "") == "utcnow"
            for each in (column.default, column.onupdate)
        ):
            yield LiveFinding(code="SM214", path=path, finding=naive_datetime.of_default(shown, line, offset))
        value = getattr(column.default, "arg", None)
        if isinstance(value, (dict, list, set)) and not self._is_watched(key, value):
            finding = shared_default.found(shown, "default", type(value).__name__, line, offset)
            yield LiveFinding(code="SM212", path=path, finding=finding)

    def _is_watched(self, key: str, value: object) -> bool:
        """Tell whether the attribute makes an object of its own of each value, as Mutable types do."""
        made = self.mapper.class_manager.new_instance()
        with contextlib.suppress(Exception):  # a validator of the project's
            setattr(made, key, value)
            return getattr(made, key) is not value
        return False

    def _keys(self) -> Iterator[LiveFinding]:
        table = self.mapper.local_table
        if not isinstance(table, sa.Table):
            return
        indexed = {next(iter(index.columns)).name for index in table.indexes if len(index.columns)}
        indexed |= {
            next(iter(each.columns)).name
            for each in table.constraints
            if isinstance(each, (sa.PrimaryKeyConstraint, sa.UniqueConstraint)) and len(each.columns)
        }
        for key in table.foreign_key_constraints:
            columns = [element.parent for element in key.elements]
            if indexed.isdisjoint(column.name for column in columns):
                names = [
                    self.mapper.get_property_by_column(each).key
                    for each in columns
                    if each in self.mapper.columns.values()
                ]
                path, line, offset = self._line(names[0] if len(columns) == 1 and names else None)
                finding = model_key_without_index.found(
                    self.cls.__name__, tuple(column.name for column in columns), line, offset
                )
                yield LiveFinding(code="SM215", path=path, finding=finding)
