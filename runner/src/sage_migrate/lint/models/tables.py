"""Tables that are declared apart from the classes that they are mapped to."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sage_migrate.lint.models.calls import called_name, keyword, made_by, text_of
from sage_migrate.lint.models.classes import ModelClass
from sage_migrate.lint.models.columns import Column, read_column
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Module, Project, Scope

_CREATED = re.compile(
    r"create\s+table\s+(?:if\s+not\s+exists\s+)?[\w.\"]*?\"?(?P<name>\w+)\"?\s*\((?P<columns>.*)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """A call of ``Table``."""

    node: ast.Call
    scope: Scope
    name: str
    columns: tuple[Column, ...]


def read_table(expression: ast.expr | None, scope: Scope, project: Project) -> Table | None:
    """Return the table that an expression comes down to."""
    made = made_by(expression, scope, project)
    if made is None or called_name(*made, project) != "Table":
        return None
    call, inside = made
    columns = [made_by(each, inside, project) for each in call.args[2:]]
    return Table(
        node=call,
        scope=inside,
        name=(text_of(call.args[0]) if call.args else None) or "",
        columns=tuple(
            read_column(*each, project)
            for each in columns
            if each is not None and called_name(*each, project) == "Column"
        ),
    )


def tables_in(module: Module, project: Project) -> Iterator[Table]:
    """Yield the tables that a module declares."""
    if "Table(" in module.source:
        for node in nodes_of(module).calls:
            if called_name(node, module.scope_of(node), project) == "Table":
                table = read_table(node, module.scope_of(node), project)
                if table is not None:
                    yield table


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a mapper is told of names: the keywords of ``map_imperatively`` and of ``__mapper_args__``."""

    renamed: frozenset[str] = frozenset()
    """Columns (by key) that are mapped under a name of their own."""
    excluded: frozenset[str] = frozenset()
    included: frozenset[str] | None = None
    is_prefixed: bool = False
    is_known: bool = True

    def maps(self, key: str) -> bool:
        """Tell whether the column ``key`` becomes an attribute of the same name."""
        return (
            self.is_known
            and not self.is_prefixed
            and key not in self.renamed | self.excluded
            and (self.included is None or key in self.included)
        )


def read_options(arguments: dict[str, ast.expr], own: Iterator[ast.expr]) -> Options:
    """Read a mapper's arguments; ``own`` are values of the class's attributes, which may be a table's columns."""
    renamed = {name for each in own for name in _columns_named(each)}
    properties = arguments.get("properties")
    if isinstance(properties, ast.Dict):
        renamed |= {name for each in properties.values for name in _columns_named(each)}
    included = arguments.get("include_properties")
    return Options(
        renamed=frozenset(renamed),
        excluded=_texts(arguments.get("exclude_properties")),
        included=_texts(included) if included is not None else None,
        is_prefixed="column_prefix" in arguments,
        is_known=properties is None or isinstance(properties, ast.Dict),
    )


def mapper_arguments(model: ModelClass) -> dict[str, ast.expr] | None:
    """Return the literal ``__mapper_args__`` of a class; None where it is no literal."""
    attribute = model.find("__mapper_args__")
    if attribute is None:
        return {}
    if not isinstance(attribute.value, ast.Dict):
        return None
    return {
        name: value
        for key, value in zip(attribute.value.keys, attribute.value.values, strict=True)
        if (name := text_of(key)) is not None
    }


def _columns_named(expression: ast.expr) -> Iterator[str]:
    for node in ast.walk(expression):
        match node:
            case ast.Attribute(value=ast.Attribute(attr="c" | "columns"), attr=name):
                yield name
            case ast.Subscript(value=ast.Attribute(attr="c" | "columns"), slice=ast.Constant(value=str(name))):
                yield name
            case _:
                pass


def _texts(expression: ast.expr | None) -> frozenset[str]:
    if not isinstance(expression, (ast.List, ast.Tuple, ast.Set)):
        return frozenset()
    return frozenset(text for each in expression.elts if (text := text_of(each)) is not None)


def statements_that_create(module: Module) -> Iterator[tuple[ast.Constant, str, frozenset[str]]]:
    """Yield the literals that hold a CREATE TABLE: where, the table, its columns."""
    for node in ast.walk(module.tree):
        text = text_of(node) if isinstance(node, ast.Constant) else None
        match = _CREATED.search(text) if text is not None else None
        if match is not None and isinstance(node, ast.Constant):
            yield node, match["name"], frozenset(re.findall(r"(?:^|,)\s*\"?(\w+)\"?\s+\w", match["columns"]))


def given_metadata(call: ast.Call) -> ast.expr | None:
    """Return the MetaData that a Table or a base is made with."""
    return keyword(call, "metadata") or (call.args[1] if len(call.args) > 1 else None)
