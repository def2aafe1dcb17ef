"""What counts as a repository: the class's name ends so, or its module or package is named so."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from sage_migrate.lint.project import Module
from sage_migrate.lint.project.scopes import Function

_ENDINGS = ("Repo", "Repository")
_MODULES = frozenset(("repo", "repos", "repository", "repositories"))
# Owns the transaction, wherever it stands.
_OWNERS = ("UnitOfWork", "UOW", "UoW", "Uow")


@dataclass(frozen=True, slots=True)
class RepositoryFunction:
    """A method of a repository, or a function of a module of such."""

    name: str
    repository: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    in_class: bool


def repository_functions(module: Module) -> Iterator[RepositoryFunction]:
    """Yield the methods of the repositories in ``module``, and the functions where all of it is one."""
    named = not _MODULES.isdisjoint(module.name.split("."))
    if module.is_test or not (named or "Repo" in module.source):
        return
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            if (named or node.name.endswith(_ENDINGS)) and not node.name.endswith(_OWNERS):
                for each in node.body:
                    if isinstance(each, Function):
                        yield RepositoryFunction(f"{node.name}.{each.name}", node.name, each, in_class=True)
        elif named and isinstance(node, Function):
            yield RepositoryFunction(node.name, module.name.rpartition(".")[2], node, in_class=False)
