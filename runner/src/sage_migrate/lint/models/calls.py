"""Tells which of SQLAlchemy's and SQLModel's functions an expression calls, however the project spells it."""

import ast

from sage_migrate.lint.project import Binding, External, Project, Scope, Symbol

_LIBRARIES = ("sqlalchemy", "sqlmodel")
# An unresolved name counts where nothing else is called so.
_UNMISTAKABLE = frozenset(("mapped_column", "relationship"))
_OF_FLASK = "SQLAlchemy"
_DEPTH = 4


def library_name(symbol: Symbol | None) -> str | None:
    """Return the last part of a name of SQLAlchemy's or SQLModel's."""
    if isinstance(symbol, External) and symbol.name.partition(".")[0] in _LIBRARIES:
        return symbol.name.rpartition(".")[2]
    return None


def called_name(expression: ast.expr | None, scope: Scope, project: Project) -> str | None:
    """Return the name of the library's function or class that ``expression`` calls."""
    if not isinstance(expression, ast.Call):
        return None
    symbol = project.resolve(expression.func, scope)
    if isinstance(symbol, Binding) and symbol.value is expression and scope.parent is not None:
        symbol = project.resolve(expression.func, scope.parent)  # `registry = registry()` in a class
    found = library_name(symbol)
    if found is not None:
        return found
    match expression.func:
        case ast.Attribute(value=value, attr=name) if is_flask_sqlalchemy(value, scope, project):
            return name
        case ast.Name(id=name) | ast.Attribute(attr=name) if symbol is None and name in _UNMISTAKABLE:
            return name
        case _:
            return None


def is_flask_sqlalchemy(expression: ast.expr, scope: Scope, project: Project) -> bool:
    """Tell whether an expression is the ``db = SQLAlchemy()`` of Flask-SQLAlchemy."""
    symbol = project.resolve(expression, scope)
    if not isinstance(symbol, Binding) or not isinstance(symbol.value, ast.Call):
        return False
    maker = project.resolve(symbol.value.func, symbol.scope)
    return isinstance(maker, External) and maker.name.rpartition(".")[2] == _OF_FLASK


def made_by(
    expression: ast.expr | None, scope: Scope, project: Project, depth: int = 0
) -> tuple[ast.Call, Scope] | None:
    """Return the call of a library's that ``expression`` comes down to: through names and the project's functions."""
    if depth > _DEPTH or expression is None:
        return None
    if isinstance(expression, ast.Call):
        if called_name(expression, scope, project) is not None:
            return expression, scope
        symbol = project.resolve(expression.func, scope)
        if isinstance(symbol, Binding) and isinstance(symbol.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = symbol.scope.module.scope_of(symbol.node)
            for returned in returned_values(symbol.node):
                found = made_by(returned, inside, project, depth + 1)
                if found is not None:
                    return found
        return None
    if isinstance(expression, (ast.Name, ast.Attribute)):
        symbol = project.resolve(expression, scope)
        if isinstance(symbol, Binding) and symbol.kind == "assigned" and not symbol.unpacked:
            return made_by(symbol.value, symbol.scope, project, depth + 1)
    return None


def returned_values(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Return what a function returns, without what functions inside of it do."""
    found: list[ast.expr] = []
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            found.append(node.value)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.expr)):
            stack.extend(ast.iter_child_nodes(node))
    return found


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return a keyword argument."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def text_of(expression: ast.expr | None) -> str | None:
    """Return the text of a literal."""
    return expression.value if isinstance(expression, ast.Constant) and isinstance(expression.value, str) else None


def is_true(expression: ast.expr | None) -> bool:
    """Tell whether an expression is the literal True."""
    return isinstance(expression, ast.Constant) and expression.value is True


def unquoted(expression: ast.expr | None) -> ast.expr | None:
    """Return an annotation without the quotes around it."""
    text = text_of(expression)
    if text is None:
        return expression
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
