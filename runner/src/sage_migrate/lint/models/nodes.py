"""The nodes of a module's syntax tree by what they are, found in one walk."""

import ast
from functools import lru_cache
from typing import NamedTuple

from sage_migrate.lint.project import Module


class Nodes(NamedTuple):
    """What rules look for, each in the order of `ast.walk`."""

    classes: tuple[ast.ClassDef, ...]
    calls: tuple[ast.Call, ...]
    assignments: tuple[ast.Assign, ...]
    attributes: tuple[ast.Attribute, ...]
    changes: tuple[ast.Subscript | ast.AugAssign, ...]
    """What may change a container in place, beside calls."""


@lru_cache(maxsize=64)
def nodes_of(module: Module) -> Nodes:
    """Return the nodes of ``module``."""
    classes: list[ast.ClassDef] = []
    calls: list[ast.Call] = []
    assignments: list[ast.Assign] = []
    attributes: list[ast.Attribute] = []
    changes: list[ast.Subscript | ast.AugAssign] = []
    for node in ast.walk(module.tree):
        match node:
            case ast.ClassDef():
                classes.append(node)
            case ast.Call():
                calls.append(node)
            case ast.Assign():
                assignments.append(node)
            case ast.Attribute():
                attributes.append(node)
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.AugAssign():
                changes.append(node)
            case _:
                pass
    return Nodes(tuple(classes), tuple(calls), tuple(assignments), tuple(attributes), tuple(changes))
