"""A relationship puts its other side under a name that SQLAlchemy keeps for itself."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.models import RESERVED
from sage_migrate.lint.models.calls import called_name, keyword, text_of
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule

_MAKERS = frozenset(("relationship", "Relationship", "dynamic_loader"))


class ReservedBackref(ModuleRule):
    """A backref is named `metadata` or `registry`."""

    code = "SM204"
    severity = "error"
    condition = "`backref` or `back_populates` of a relationship is `metadata` or `registry`."
    effect = (
        "The attribute is made on the other model and hides its MetaData or registry; SQLAlchemy 2.0 and 2.1 say "
        "nothing."
    )
    workaround = "Give the other side a name of its own."
    bad = """\
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class File(Base):
    __tablename__ = "files"

    id: Mapped[int] = mapped_column(primary_key=True)


class FileMetadata(Base):
    __tablename__ = "file_metadata"

    file_id: Mapped[int] = mapped_column(ForeignKey("files.id"), primary_key=True)
    file: Mapped[File] = relationship(backref="metadata")
"""
    good = """\
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class File(Base):
    __tablename__ = "files"

    id: Mapped[int] = mapped_column(primary_key=True)


class FileMetadata(Base):
    __tablename__ = "file_metadata"

    file_id: Mapped[int] = mapped_column(ForeignKey("files.id"), primary_key=True)
    file: Mapped[File] = relationship(backref="file_metadata")
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each such name."""
        if "back" not in module.source or not any(name in module.source for name in RESERVED):
            return
        for node in nodes_of(module).calls:
            if called_name(node, module.scope_of(node), project) in _MAKERS:
                for argument, name in _others(node, module.scope_of(node), project):
                    if name in RESERVED:
                        yield found(name, argument, node.lineno, node.col_offset + 1)


def found(name: str, argument: str, line: int, column: int = 1) -> Finding:
    """Return what is said of a relationship's other side."""
    kept = "MetaData" if name == "metadata" else "registry"
    return Finding(
        line=line,
        column=column,
        message=f"The other side of this relationship is named {name}: there it hides SQLAlchemy's {kept}.",
        help=f'Instead: give it a name of its own.\nrelationship(…, {argument}="extra_{name}")',
    )


def _others(call: ast.Call, scope: Scope, project: Project) -> Iterator[tuple[str, str | None]]:
    arguments = {each.arg: each.value for each in call.keywords if each.arg is not None}
    further = keyword(call, "sa_relationship_kwargs")
    if isinstance(further, ast.Dict):
        arguments |= {
            str(text_of(key)): value for key, value in zip(further.keys, further.values, strict=True) if key is not None
        }
    for argument in ("backref", "back_populates"):
        value = arguments.get(argument)
        if isinstance(value, ast.Call) and called_name(value, scope, project) == "backref" and value.args:
            value = value.args[0]
        yield argument, text_of(value)
