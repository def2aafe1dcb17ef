"""Every column that a module declares, with the name under which people know it."""

from collections.abc import Iterator
from dataclasses import dataclass

from sage_migrate.lint.models.classes import Attribute, Models
from sage_migrate.lint.models.columns import Column, columns_of
from sage_migrate.lint.models.tables import tables_in
from sage_migrate.lint.project import Module


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Declaration:
    """A column, and where a finding on it belongs."""

    shown: str
    """`Document.extra`, `documents.extra`."""
    column: Column
    attribute: Attribute | None
    line: int
    offset: int


def declarations_in(module: Module, models: Models) -> Iterator[Declaration]:
    """Yield the columns of a module's classes and tables."""
    for model in models.classes_in(module):
        for attribute in model.attributes.values():
            for column in columns_of(attribute):
                yield Declaration(
                    shown=f"{model.name}.{attribute.name}",
                    column=column,
                    attribute=attribute,
                    line=attribute.node.lineno,
                    offset=attribute.node.col_offset + 1,
                )
    for table in tables_in(module, models.project):
        for column in table.columns:
            if column.scope.module is module:
                yield Declaration(
                    shown=f"{table.name}.{column.name}",
                    column=column,
                    attribute=None,
                    line=column.node.lineno,
                    offset=column.node.col_offset + 1,
                )
