"""Import labelled models and tell what really became of their attributes and columns."""

import contextlib
import importlib
import inspect
import sys
import types
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from labelled_models import LabelledModels
from sqlalchemy import event, orm
from sqlalchemy.dialects import postgresql

_POSTGRESQL: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
_RESERVED = ("metadata", "registry")
FACTS = {
    "SM201": "reserved name",
    "SM202": "column dropped",
    "SM203": "reserved name",
    "SM204": "reserved name",
    "SM211": "json",
    "SM212": "default shared",
    "SM214": "naive",
    "SM215": "key without index",
}
"""What an observer sees of a code; what is not here is shown by a proof."""


def observe(case: LabelledModels, directory: Path) -> tuple[set[str], str]:
    """Import ``case``, written below ``directory``, run its proof; return the facts, and why it ended early."""
    mappers: list[orm.Mapper[Any]] = []

    def collect(mapper: orm.Mapper[Any], _class: type) -> None:
        mappers.append(mapper)

    event.listen(orm.Mapper, "after_mapper_constructed", collect)
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    facts: set[str] = set()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                for name in case.files:
                    importlib.import_module(name.removesuffix(".py").replace("/", "."))
                orm.configure_mappers()
            except Exception as error:
                # 2.0 refuses metadata; what else stands in its place is no MetaData when the table is made.
                if any(each in str(error) for each in ("is reserved", "'registry' attribute")) or isinstance(
                    error, AttributeError
                ):
                    return {"reserved name"}, str(error)
                raise
            if case.proof:
                exec(compile(case.proof, f"{case.name}/proof.py", "exec"), {})
        if any("should be left reserved" in str(each.message) for each in told):
            facts.add("reserved name")
        facts |= {fact for mapper in mappers for fact in _of_mapper(mapper)}
        tables = {
            table
            for mapper in mappers
            if isinstance(mapper.local_table, sa.Table)
            for table in mapper.local_table.metadata.tables.values()
        }
        facts |= {fact for table in tables for fact in _of_table(table)}
    finally:
        forget(directory)
        event.remove(orm.Mapper, "after_mapper_constructed", collect)
    return facts, ""


def forget(directory: Path) -> None:
    """Undo what the import of the modules below ``directory`` did to this process."""
    # Not orm.clear_mappers(): the models of other tests in this process are to stay.
    for registry in orm.mapperlib._all_registries():
        # Of managers, not of mappers: 2.0 leaves the class that it refused in the registry, without a mapper.
        if any(_is_app(manager.class_.__module__) for manager in registry._managers):
            registry.dispose(cascade=True)
    with contextlib.suppress(ValueError):
        sys.path.remove(str(directory))
    for name in [each for each in sys.modules if _is_app(each)]:
        del sys.modules[name]
    if "sqlmodel" in sys.modules:  # all of its models share one registry
        base = sys.modules["sqlmodel"].SQLModel
        base.metadata.clear()
        base._sa_registry._class_registry.clear()


def _is_app(module: str) -> bool:
    return module.partition(".")[0] == "app"


def _of_mapper(mapper: orm.Mapper[Any]) -> Iterator[str]:
    attributes = set(mapper.all_orm_descriptors.keys())
    if attributes & set(_RESERVED):
        yield "reserved name"
    if hasattr(mapper.class_, "registry") and not isinstance(getattr(mapper.class_, "metadata", None), sa.MetaData):
        yield "reserved name"
    for owner in mapper.class_.__mro__:
        for name in _declared(owner) - attributes:
            if mapper.class_.__dict__.get(name, ...) is not None:
                yield "column dropped"
    deliberate = mapper.class_.__dict__.get("__mapper_args__", {})
    mapped = [column for each in mapper.self_and_descendants for column in each.columns.values()]
    if "exclude_properties" not in deliberate and any(column not in mapped for column in mapper.local_table.c):
        yield "column dropped"
    for attribute in mapper.column_attrs:
        default = getattr(attribute.columns[0], "default", None)
        if default is not None and default.is_scalar and isinstance(default.arg, (dict, list, set)):
            made = mapper.class_manager.new_instance()
            setattr(made, attribute.key, default.arg)
            # A type that watches changes makes an object of its own for each row.
            if getattr(made, attribute.key) is default.arg:
                yield "default shared"


def _declared(owner: type) -> set[str]:
    """Return the names that a class declares columns under."""
    annotated = {name for name, text in inspect.get_annotations(owner).items() if "Mapped[" in str(text)}
    assigned = {
        name
        for name, value in vars(owner).items()
        if isinstance(value, (sa.Column, orm.MappedColumn, orm.declared_attr))
    }
    return {name for name in annotated | assigned if not name.startswith("__")}


def _of_table(table: sa.Table) -> Iterator[str]:
    for column in table.c:
        with contextlib.suppress(sa.exc.CompileError):
            sql = column.type.compile(dialect=_POSTGRESQL)
            if sql == "JSON":
                yield "json"
            if "TIMESTAMP WITHOUT TIME ZONE" in sql:
                yield "naive"
        for default in (column.default, column.onupdate):
            made = getattr(default, "arg", None)
            if isinstance(made, types.FunctionType):
                value = made(None)
                if isinstance(value, datetime) and value.tzinfo is None:
                    yield "naive"
    indexed = [next(iter(index.columns)).name for index in table.indexes]
    indexed += [
        next(iter(each.columns)).name
        for each in table.constraints
        if isinstance(each, (sa.PrimaryKeyConstraint, sa.UniqueConstraint)) and list(each.columns)
    ]
    for key in table.foreign_key_constraints:
        if not any(element.parent.name in indexed for element in key.elements):
            yield "key without index"
