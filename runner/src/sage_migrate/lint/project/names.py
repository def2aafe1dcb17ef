"""How expressions are named, whatever they turn out to be."""

import ast


def last_name(expression: ast.AST | None) -> str:
    """Return the last part of what is named: `Depends` of `fastapi.Depends(…)`, nothing where nothing is."""
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return last_name(inner)
        case _:
            return ""
