"""What the database libraries export, by the names under which projects reach them."""

import ast

from sage_migrate.lint.project import Binding, External, Project, Scope, Symbol

SESSION_CLASSES = frozenset(("Session", "AsyncSession", "scoped_session", "async_scoped_session"))
SESSION_MAKERS = frozenset(("sessionmaker", "async_sessionmaker"))


def makes_session(call: ast.Call, scope: Scope, project: Project) -> bool:
    """Tell whether a call gives a new session: of the class itself, or of a sessionmaker."""
    symbol = project.resolve(call.func, scope)
    if is_external(symbol, SESSION_CLASSES):
        return True
    return (
        isinstance(symbol, Binding)
        and isinstance(symbol.value, ast.Call)
        and not symbol.unpacked
        and symbol.kind == "assigned"
        and is_external(project.resolve(symbol.value.func, symbol.scope), SESSION_MAKERS)
    )


def is_external(symbol: Symbol | None, names: frozenset[str]) -> bool:
    """Tell whether a symbol is one of SQLAlchemy's or SQLModel's ``names``, wherever in them it was found."""
    if not isinstance(symbol, External):
        return False
    library, _, rest = symbol.name.partition(".")
    return library in ("sqlalchemy", "sqlmodel") and rest.rpartition(".")[2] in names
