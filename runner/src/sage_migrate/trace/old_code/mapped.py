"""Describe mapped classes as plain data: runs where the old release's code is imported, and prints JSON for the trace.

``python -m sage_migrate.trace.old_code.mapped MODULE:BASE FILE SECTION PLACES`` imports the base class; where that is empty,
env.py of the configuration in FILE is run up to context.configure(), which tells its target_metadata. PLACES is JSON: where
the code of today lies (``here`` in ``top``), which must not be taken for the old one, and where else the old one lies.
"""

import contextlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Enum, MetaData, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

_dialect: Any = asyncpg_dialect.dialect
_DIALECT = _dialect()  # of all drivers', its casts are the strictest


def describe(metadata: MetaData) -> list[dict[str, Any]]:
    """Return the tables of ``metadata``, with the lines at which classes declare their columns."""
    mappers: dict[Any, Any] = {}
    for mapper in _mappers():
        if mapper.local_table is not None:
            mappers.setdefault(mapper.local_table, mapper)
    return [_table(table, mappers.get(table)) for table in metadata.sorted_tables]


def _mappers() -> Iterator[Any]:
    from sqlalchemy.orm import mapperlib

    for registry in mapperlib._all_registries():  # noqa: SLF001  there is no public list
        yield from registry.mappers


def _table(table: Table, mapper: Any) -> dict[str, Any]:
    file, lines, first = _source(mapper.class_) if mapper is not None else (None, [], 0)
    source = f"{_shown(file)}:{first}" if file else f"the model of {table.fullname}"
    attributes = {}
    if mapper is not None:
        for attribute in mapper.column_attrs:
            for column in attribute.columns:
                attributes[column] = attribute.key
    unique = [[each.name for each in item.columns] for item in table.constraints if isinstance(item, UniqueConstraint)]
    unique += [
        [each.name for each in item.columns]
        for item in table.indexes
        if item.unique and len(item.columns) == len(item.expressions)
    ]
    unique.append([each.name for each in table.primary_key.columns])
    return {
        "schema": table.schema,
        "name": table.name,
        "source": source,
        "columns": [
            _column(each, _line(lines, first, attributes.get(each, each.name)), file) for each in table.columns
        ],
        "unique": [each for each in unique if each],
        "references": [
            {
                "schema": key.referred_table.schema,
                "name": key.referred_table.name,
                "ondelete": key.ondelete,
                "pairs": [[element.parent.name, element.column.name] for element in key.elements],
            }
            for key in table.foreign_key_constraints
            if _resolves(key)
        ],
    }


def _resolves(key: Any) -> bool:
    try:
        return key.referred_table is not None and all(element.column is not None for element in key.elements)
    except Exception:  # noqa: BLE001  a table that is not among the models
        return False


def _column(column: Column[Any], line: int | None, file: str | None) -> dict[str, Any]:
    by_database = column.server_default is not None or column.identity is not None or column.computed is not None
    numbered = column is column.table._autoincrement_column  # noqa: SLF001  what the ORM asks too
    known_default = column.default is not None and not getattr(column.default, "is_sequence", False)
    return {
        "name": column.name,
        "type": _spell(column),
        "is_key": column.primary_key,
        "left_out": (by_database or numbered) and not known_default,
        "explicit_null": not (by_database or numbered or known_default or column.primary_key) and bool(column.nullable),
        "relies_on_default": column.server_default is not None and column.computed is None,
        "constant": _constant(column),
        "labels": list(column.type.enums) if isinstance(column.type, Enum) and column.type.native_enum else [],
        "source": f"{_shown(file)}:{line}" if file and line else "",
    }


def _constant(column: Column[Any]) -> str | None:
    default: Any = column.default
    value = getattr(default, "arg", None) if getattr(default, "is_scalar", False) else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None


def _spell(column: Column[Any]) -> str:
    type_ = column.type.dialect_impl(_DIALECT)
    with contextlib.suppress(Exception):
        return str(_DIALECT.type_compiler_instance.process(type_)).replace("SERIAL", "INTEGER")
    return "text"


def _source(class_: type) -> tuple[str | None, list[str], int]:
    try:
        lines, first = inspect.getsourcelines(class_)
        return inspect.getsourcefile(class_), lines, first
    except (OSError, TypeError):
        return None, [], 0


def _line(lines: list[str], first: int, attribute: str) -> int | None:
    for place, text in enumerate(lines):
        head = text.strip()
        if head.startswith(attribute) and head[len(attribute) :].lstrip()[:1] in (":", "="):
            return first + place
    return first or None


def _shown(file: str | None) -> str:
    path = Path(file or "?")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> None:
    """Print the tables of the metadata that the argument, or env.py, names."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what the application prints when it is imported
        given, file, section, places = sys.argv[1:5]
        there = Places(**json.loads(places))
        there.lead()
        metadata = _named(given) if given else _of_environment(Path(file), section)
        found: list[dict[str, Any]] = []
        for each in metadata if isinstance(metadata, (list, tuple)) else [metadata]:
            found += describe(each)
        there.check()
    json.dump(found, out)


class Places:
    """Where modules are looked for, so that none of today's code is taken for the old one's."""

    def __init__(self, *, here: str, top: str, path: list[str], packages: list[str]) -> None:
        """Keep the directory of today's project, its repository, and what the old release has beside its own."""
        self._here, self._top, self._path, self._packages = Path(here).resolve(), Path(top), path, packages

    def lead(self) -> None:
        """Let each entry of the import path that is of today's repository be the same one of the old release."""
        old = Path.cwd()
        sys.path[:] = [self._moved(entry) for entry in sys.path]
        for name, module in list(sys.modules.items()):  # what an editable install of setuptools keeps
            mapping = getattr(module, "MAPPING", None) if name.startswith("__editable__") else None
            if isinstance(mapping, dict):
                mapping.update({package: self._moved(place) for package, place in mapping.items()})
        beside = [str(old / "src")] if (old / "src").is_dir() else []
        sys.path[:0] = [str(old), *self._path, *beside]
        sys.path += self._packages

    def check(self) -> None:
        """End where a mapped class is of today's code after all."""
        for mapper in _mappers():
            file = _source(mapper.class_)[0]
            if file and self._is_todays(file):
                sys.exit(
                    f"{mapper.class_.__name__} was imported from {file}, which is today's code: let alembic.ini's "
                    "prepend_sys_path lead to the code beside it."
                )

    def _is_todays(self, place: str) -> bool:
        path = Path(place).resolve()
        return (
            Path.cwd() != self._here
            and path.is_relative_to(self._top)
            and not path.is_relative_to(Path(sys.prefix).resolve())
            and not path.is_relative_to(Path.cwd())
            and not {"site-packages", "dist-packages"} & set(path.parts)
        )

    def _moved(self, entry: str) -> str:
        return str(Path.cwd() / os.path.relpath(Path(entry).resolve(), self._here)) if self._is_todays(entry) else entry


def _named(given: str) -> Any:
    module, _, name = given.partition(":")
    found: Any = importlib.import_module(module)
    for part in (name or "Base").split("."):
        found = getattr(found, part)
    return found if isinstance(found, MetaData) else found.metadata


def _of_environment(file: Path, section: str) -> Any:
    from alembic.runtime.environment import EnvironmentContext

    from sage_migrate.project import load_project
    from sage_migrate.settings import Settings

    class Reached(BaseException):
        """env.py has come to context.configure()."""

    class Ask(EnvironmentContext):
        def configure(self, *_: Any, **options: Any) -> None:
            found.append(options.get("target_metadata"))
            raise Reached

    found: list[Any] = []

    EnvironmentContext._setups[Ask] = EnvironmentContext._setups[EnvironmentContext]  # noqa: SLF001
    project = load_project(Settings(config_file=file, config_name=section))
    # The old configuration may name a database; this one is scratch.
    project.config.set_main_option("sqlalchemy.url", os.environ["SAGE_TRACE_URL"].replace("%", "%%"))
    with contextlib.suppress(Reached), Ask(project.config, project.script, fn=lambda *_: []):
        project.script.run_env()
    if not found or found[0] is None:
        sys.exit("env.py sets no target_metadata: name the models by --old-models MODULE:BASE.")
    return found[0]


if __name__ == "__main__":
    main()
