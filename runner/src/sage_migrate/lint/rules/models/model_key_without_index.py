"""A model's foreign key without an index."""

from collections.abc import Iterator

from sage_migrate.lint.models import models_of
from sage_migrate.lint.models.keys import keys_in
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.rule import Finding, ModuleRule


class ModelKeyWithoutIndex(ModuleRule):
    """No index of the table begins with a column of the foreign key."""

    code = "SM215"
    severity = "warning"
    condition = "No index, unique or primary key of a model or table begins with a column of its foreign key."
    effect = "PostgreSQL makes no index for a foreign key: deleting a row of the other table searches all of this one."
    workaround = "Add `index=True`, or an Index in `__table_args__`."
    bad = """\
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
"""
    good = """\
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such key."""
        if module.is_test:
            return
        for keys in keys_in(module, models_of(project)):
            for columns, place, where in keys.unserved():
                if where is module:
                    yield found(keys.shown, columns, getattr(place, "lineno", 1), getattr(place, "col_offset", 0) + 1)


def found(shown: str, columns: tuple[str, ...], line: int, column: int = 1) -> Finding:
    """Return what is said of a foreign key."""
    names = ", ".join(columns)
    arguments = ", ".join(f'"{each}"' for each in columns)
    return Finding(
        line=line,
        column=column,
        message=f"{shown} ({names}) has a foreign key and no index: deleting a row that it may refer to searches the whole table.",
        help="Instead: add an index.\n" + ("index=True" if len(columns) == 1 else f"Index(None, {arguments})"),
    )
