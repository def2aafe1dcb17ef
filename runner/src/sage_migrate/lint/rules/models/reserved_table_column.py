"""A table's column becomes an attribute whose name SQLAlchemy keeps for itself."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import RESERVED, ModelClass, Models, models_of
from sage_migrate.lint.models.calls import called_name, text_of
from sage_migrate.lint.models.columns import columns_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.models.renaming import FREE
from sage_migrate.lint.models.tables import (
    Options,
    Table,
    given_metadata,
    mapper_arguments,
    read_options,
    read_table,
    statements_that_create,
    tables_in,
)
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule

_MAPPERS = frozenset(("map_imperatively", "mapper"))


class ReservedTableColumn(ModuleRule):
    """A Table with a column `metadata` or `registry` is mapped to a class without renaming it."""

    code = "SM203"
    severity = "error"
    condition = (
        "A class is mapped to a table (`__table__`, `map_imperatively`, automap, DeferredReflection) that has a column "
        "with the name or key `metadata` or `registry`."
    )
    effect = (
        "The column becomes an attribute of that name and hides the MetaData or registry; SQLAlchemy 2.0 and 2.1 say "
        "nothing."
    )
    workaround = "Map the column under a name of its own."
    bad = """\
from sqlalchemy import Column, Integer, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class Document(Base):
    __table__ = Table(
        "documents",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("metadata", JSONB),
    )
"""
    good = """\
from sqlalchemy import Column, Integer, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


class Document(Base):
    __table__ = Table(
        "documents",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("metadata", JSONB, key="extra_metadata"),
    )
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such column that is mapped in ``module``."""
        models = models_of(project)
        if "__table__" in module.source:
            for model in models.classes_in(module):
                declared = model.attributes.get("__table__")
                arguments = mapper_arguments(model)
                if declared is not None and model.is_mapped and arguments is not None:
                    own = (
                        each.value
                        for each in model.attributes.values()
                        if each.value is not None and each.name != "__table__"
                    )
                    table = read_table(declared.value, model.scope, project)
                    yield from _mapped(model.name, table, read_options(arguments, own), module, declared.node)
        if any(f"{name}(" in module.source for name in _MAPPERS):
            yield from self._imperative(module, models)
        if "automap_base" in module.source or "DeferredReflection" in module.source:
            yield from self._reflected(module, models)

    @staticmethod
    def _imperative(module: Module, models: Models) -> Iterator[Finding]:
        project = models.project
        for node in nodes_of(module).calls:
            scope = module.scope_of(node)
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name != "map_imperatively" and called_name(node, scope, project) not in _MAPPERS:
                continue
            arguments = {each.arg: each.value for each in node.keywords if each.arg is not None}
            arguments |= dict(zip(("class_", "local_table", "properties"), node.args, strict=False))
            if "class_" not in arguments:
                continue
            options = read_options(arguments, iter(()))
            mapped = models.named(arguments["class_"], scope)
            shown = mapped.name if mapped is not None else ast.unparse(arguments["class_"])
            yield from _mapped(shown, read_table(arguments.get("local_table"), scope, project), options, module, node)
            properties = arguments.get("properties")
            for key in properties.keys if isinstance(properties, ast.Dict) else ():
                if key is not None and text_of(key) in RESERVED:
                    yield _found(shown, str(text_of(key)), "its properties", key)

    @staticmethod
    def _reflected(module: Module, models: Models) -> Iterator[Finding]:
        project = models.project
        given = _given_to_automap(module, models)
        classes = [each for each in models.classes_in(module) if each.is_automapped and each.is_mapped]
        is_automap = any("automap_base" in line for line in module.source.splitlines() if "import" not in line)
        for table in tables_in(module, project):
            made_with = given_metadata(table.node)
            if made_with is not None and _origin(made_with, table, project) in given:
                yield from _mapped(table.name, table, _renamed_by(classes, table.name), module, table.node)
        for node, name, columns in statements_that_create(module):
            options = _renamed_by(classes, name)
            if is_automap or any(_table_name(each) == name for each in classes):
                for reserved in RESERVED:
                    if reserved in columns and options.maps(reserved):
                        yield _found(f"The class of {name}", reserved, f"the table {name}", node)


def _mapped(model: str, table: Table | None, options: Options, module: Module, place: ast.AST) -> Iterator[Finding]:
    if table is None:
        return
    for column in table.columns:
        key = column.key or column.name
        if key in RESERVED and options.maps(key):
            at = column.node if column.scope.module is module else place
            yield _found(model, key, f"the table {table.name}", at)


def found(model: str, name: str, source: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a table's column."""
    kept = "MetaData" if name == "metadata" else "registry"
    return Finding(
        line=line,
        column=column,
        message=f"{model} gets an attribute {name} from {source}; it hides SQLAlchemy's {kept}, and nothing warns.",
        help=f'Instead: map the column under another name.\nColumn("{name}", …, key="{FREE[name]}")',
    )


def _found(model: str, name: str, source: str, place: ast.AST) -> Finding:
    return found(model, name, source, getattr(place, "lineno", 1), getattr(place, "col_offset", 0) + 1)


def _given_to_automap(module: Module, models: Models) -> set[object]:
    """Return the MetaData objects from which automap makes classes."""
    given: set[object] = set()
    for node in nodes_of(module).calls:
        if called_name(node, module.scope_of(node), models.project) == "automap_base":
            for each in node.keywords:
                if each.arg == "metadata":
                    symbol = models.project.resolve(each.value, module.scope_of(node))
                    if symbol is not None:
                        given.add(symbol)
    return given


def _origin(expression: ast.expr, table: Table, project: Project) -> object:
    return project.resolve(expression, table.scope)


def _renamed_by(classes: list[ModelClass], table: str) -> Options:
    """Return which columns of a reflected table a class maps under names of its own."""
    renamed: set[str] = set()
    for model in classes:
        if _table_name(model) == table:
            for attribute in model.attributes.values():
                renamed |= {column.name for column in columns_of(attribute) if column.name is not None}
    return Options(renamed=frozenset(renamed))


def _table_name(model: ModelClass) -> str | None:
    attribute = model.find("__tablename__")
    return text_of(attribute.value) if attribute is not None else None
