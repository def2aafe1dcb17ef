"""Finds where an attribute is read that loads itself from the database, through the functions that are called."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Scope
from sage_migrate.lint.sessions.inference import own_nodes
from sage_migrate.lint.sessions.libraries import SYNCHRONOUS
from sage_migrate.lint.sessions.values import Context, Entity, Value
from sage_migrate.lint.sessions.waits import Wait, Waits


class LazyReads(Waits):
    """As the calls that wait, so the reads that load."""

    def _waits(self, node: ast.AST, called: str) -> Iterator[Wait]:  # noqa: ARG002
        return iter(())

    def _property(self, node: ast.Attribute, of: Value | None, scope: Scope, context: Context) -> Iterator[Wait]:
        if isinstance(of, Entity) and not of.made and self._inference.lazy(of, node.attr):
            is_synchronous = of.session is not None and of.session.kind in SYNCHRONOUS
            if not is_synchronous and not _is_refreshed(node, scope):
                yield Wait(node, (f"{ast.unparse(node.value)}.{node.attr}",))
        else:
            yield from super()._property(node, of, scope, context)


def _is_refreshed(node: ast.Attribute, scope: Scope) -> bool:
    """Tell whether `session.refresh(user, ["orders"])` stands in the same function, or the attribute is set there."""
    function = scope.function
    owner = ast.unparse(node.value)
    for each in own_nodes(function.node) if function else ():
        match each:
            case ast.Call(func=ast.Attribute(attr="refresh"), args=[first, *rest]) if ast.unparse(first) == owner:
                names = [*rest, *(keyword.value for keyword in each.keywords)]
                if any(isinstance(c, ast.Constant) and c.value == node.attr for n in names for c in ast.walk(n)):
                    return True
            case ast.Attribute(ctx=ast.Store(), attr=name) if name == node.attr and ast.unparse(each.value) == owner:
                return each.lineno <= node.lineno
    return False
