"""What builds or runs a query, and what is only a sign of life."""

import ast
import re

from sage_migrate.lint.project import Scope
from sage_migrate.lint.sessions.inference import Inference
from sage_migrate.lint.sessions.libraries import of_sqlalchemy
from sage_migrate.lint.sessions.values import ClassReference, Instance, Method, Outside

_BUILDS = frozenset(("select", "insert", "update", "delete", "text", "exists", "union", "union_all"))
_RUNS = frozenset(
    "execute scalar scalars exec query get get_one stream stream_scalars delete merge executemany bulk_save_objects"  # noqa: SIM905
    " bulk_insert_mappings bulk_update_mappings exec_driver_sql fetch fetchrow fetchval".split()
)
_RUN_BY = ("Session", "AsyncSession", "scoped_session", "async_scoped_session", "Connection", "AsyncConnection")
_DRIVERS = ("DriverConnection", "Cursor")
_OF_ROWS = re.compile(r"\b(?:from|into|update|delete|table|call)\b", re.IGNORECASE)


def is_query(call: ast.Call, scope: Scope, inference: Inference) -> bool:
    """Tell whether a call builds or runs a query; `SELECT 1`, as a health check asks, is none."""
    function = inference.infer(call.func, scope)
    match function:
        case Outside(name=name) if of_sqlalchemy(name) in _BUILDS:
            return not _is_sign_of_life(call, scope, inference)
        case Method(of=Instance(kind=kind), name=name) if name in _RUNS:
            if kind not in {*_RUN_BY, *_DRIVERS}:
                return False
            return not (call.args and _is_sign_of_life(call, scope, inference))
        case _:
            return False


def _is_sign_of_life(call: ast.Call, scope: Scope, inference: Inference) -> bool:
    """Tell whether what is asked for is in no table."""
    first = call.args[0] if call.args else None
    match first:
        case ast.Constant(value=str(sql)):
            return _OF_ROWS.search(sql) is None
        case ast.Constant():
            return True
        case ast.Call():
            function = inference.infer(first.func, scope)
            name = function.name if isinstance(function, Outside) else ""
            if of_sqlalchemy(name) in _BUILDS:
                return _is_sign_of_life(first, scope, inference)
            # `select(func.now())`, `select(literal(1))`; `select(func.count(User.id))` asks a table.
            return bool(of_sqlalchemy(name)) and not any(
                isinstance(inference.infer(each, scope), ClassReference)
                for argument in first.args
                for each in ast.walk(argument)
                if isinstance(each, ast.Name)
            )
        case ast.Name():
            value = scope.lookup(first.id)
            built = value[-1].value if value else None
            return isinstance(built, ast.Call) and _is_sign_of_life(built, scope, inference)
        case _:
            return False
