"""Foreign keys of classes and tables, and the indexes that serve them."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sage_migrate.lint.models.calls import called_name, is_true, returned_values, text_of
from sage_migrate.lint.models.classes import Attribute, ModelClass, Models
from sage_migrate.lint.models.columns import Column, columns_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.models.tables import Table, read_table, tables_in
from sage_migrate.lint.project import Module, Project, Scope


@dataclass(kw_only=True, slots=True, eq=False)
class Keys:
    """Of one table: columns of foreign keys, first columns of indexes."""

    shown: str
    foreign: list[tuple[tuple[str, ...], ast.AST, Module]] = field(default_factory=list)
    indexed: set[str] = field(default_factory=set)
    has_primary_key: bool = False
    is_known: bool = True

    def add_column(self, column: Column, name: str, place: ast.AST, module: Module) -> None:
        """Take in a column's own keywords."""
        if column.foreign_keys or text_of(column.keywords.get("foreign_key")) is not None:
            self.foreign.append(((name,), place, module))
        if is_true(column.keywords.get("primary_key")):
            if not self.has_primary_key:
                self.indexed.add(name)
            self.has_primary_key = True
        if any(_may_be_true(column.keywords.get(each)) for each in ("index", "unique")):
            self.indexed.add(name)

    def add_arguments(
        self, arguments: Iterable[ast.expr], scope: Scope, project: Project, names: dict[str, str]
    ) -> None:
        """Take in what stands in ``__table_args__`` or behind the columns of a Table."""
        for each in arguments:
            maker = called_name(each, scope, project)
            if not isinstance(each, ast.Call) or maker is None:
                self.is_known = self.is_known and isinstance(each, (ast.Dict, ast.Constant))
            elif maker == "ForeignKeyConstraint" and each.args and isinstance(each.args[0], (ast.List, ast.Tuple)):
                columns = tuple(filter(None, (_column(one, names) for one in each.args[0].elts)))
                if columns:
                    self.foreign.append((columns, each, scope.module))
            elif maker in ("Index", "UniqueConstraint", "PrimaryKeyConstraint", "ExcludeConstraint"):
                columns = tuple(_column(one, names) or "" for one in each.args[1 if maker == "Index" else 0 :])
                self.indexed.update(columns[:1])

    def unserved(self) -> Iterator[tuple[tuple[str, ...], ast.AST, Module]]:
        """Yield the foreign keys of which no column begins an index."""
        if self.is_known:
            for key in self.foreign:
                if self.indexed.isdisjoint(key[0]):
                    yield key


def _may_be_true(expression: ast.expr | None) -> bool:
    return expression is not None and not (isinstance(expression, ast.Constant) and not expression.value)


def _column(expression: ast.expr, names: dict[str, str]) -> str | None:
    """Return the column that an index's argument names: its name, ``Model.attribute``, ``table.c.column``, ``attribute``."""
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute):
        return _column(expression.func.value, names)
    match expression:
        case ast.Constant(value=str(name)):
            return name
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return names.get(name, name)
        case _:
            return None


def keys_of(model: ModelClass, models: Models) -> Keys:
    """Return the keys of a mapped class, with those of the mixins that it takes columns from."""
    project = models.project
    found = Keys(shown=model.name)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for owner in model.classes:
        if owner is not model and owner.is_mapped and not model.is_sqlmodel:
            continue
        for attribute in owner.attributes.values():
            if attribute.name in taken:
                continue
            taken.add(attribute.name)
            declared = list(columns_of(attribute))
            name = next((each.name for each in declared if each.name), attribute.name)
            names[attribute.name] = name
            for column in declared[:1]:
                place = attribute.node if owner.module is model.module else model.node
                found.add_column(column, name, place, model.module)
            maker = called_name(attribute.value, owner.scope, project)
            if maker == "Index" and attribute.value is not None:
                found.add_arguments([attribute.value], owner.scope, project, names)
    _add_table_arguments(found, model.find("__table_args__"), project, names)
    _add_indexes_of_module(
        found, model.module, project, lambda each: models.named(each, model.module.scope) is model, names
    )
    return found


def _add_table_arguments(found: Keys, attribute: Attribute | None, project: Project, names: dict[str, str]) -> None:
    if attribute is None:
        return
    if isinstance(attribute.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        values = returned_values(attribute.node)
        scope = attribute.owner.module.scope_of(attribute.node)
    else:
        values = [attribute.value] if attribute.value is not None else []
        scope = attribute.owner.scope
    for value in values:
        if isinstance(value, (ast.Tuple, ast.List)):
            found.add_arguments(value.elts, scope, project, names)
        elif not isinstance(value, ast.Dict):
            found.is_known = False


def _add_indexes_of_module(
    found: Keys, module: Module, project: Project, is_own: Callable[[ast.expr], bool], names: dict[str, str]
) -> None:
    """Take in each ``Index("…", Model.attribute)`` that stands by itself."""
    if "Index(" not in module.source:
        return
    for node in nodes_of(module).calls:
        if called_name(node, module.scope_of(node), project) == "Index":
            owners = [
                part.value for each in node.args[1:2] for part in ast.walk(each) if isinstance(part, ast.Attribute)
            ]
            if any(is_own(each) for each in owners):
                found.add_arguments([node], module.scope_of(node), project, names)


def keys_of_table(table: Table, project: Project) -> Keys:
    """Return the keys of a ``Table``."""
    found = Keys(shown=table.name)
    for column in table.columns:
        if column.name is not None:
            found.add_column(column, column.name, column.node, column.scope.module)
    others = [
        each
        for each in table.node.args[2:]
        if not (isinstance(each, ast.Call) and called_name(each, table.scope, project) == "Column")
    ]
    found.add_arguments(others, table.scope, project, {})

    def is_own(expression: ast.expr) -> bool:
        inner = expression.value if isinstance(expression, ast.Attribute) else expression
        other = read_table(inner, table.scope, project)
        return other is not None and other.node is table.node

    _add_indexes_of_module(found, table.scope.module, project, is_own, {})
    return found


def keys_in(module: Module, models: Models) -> Iterator[Keys]:
    """Yield the keys of each class and table in a module."""
    if "oreign" not in module.source:
        return
    for model in models.classes_in(module):
        if model.is_mapped:
            yield keys_of(model, models)
    for table in tables_in(module, models.project):
        yield keys_of_table(table, models.project)
