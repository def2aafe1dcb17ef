"""What counts as a repository: the class's name ends so, or its module or package is named so."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module

_ENDINGS = ("Repo", "Repository")
_MODULES = frozenset(("repo", "repos", "repository", "repositories"))


def repository_classes(module: Module) -> Iterator[ast.ClassDef]:
    """Yield the classes of ``module`` that are repositories."""
    if module.is_test or not (module.source.count("Repo") or not _MODULES.isdisjoint(module.name.split("."))):
        return
    named = not _MODULES.isdisjoint(module.name.split("."))
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and (named or node.name.endswith(_ENDINGS)):
            yield node
