"""A coroutine of an AsyncSession that nobody awaits."""
# ruff: noqa: E501  a message is a sentence that is found whole

import ast
from collections.abc import Iterator

from sage_migrate.lint.project import Module, Project, Scope
from sage_migrate.lint.rule import Finding, ModuleRule
from sage_migrate.lint.sessions.analysis import Analysis
from sage_migrate.lint.sessions.inference import Inference, own_nodes
from sage_migrate.lint.sessions.libraries import AWAITED, NOT_AWAITED
from sage_migrate.lint.sessions.values import Callable, Coroutine, Instance, Manager, Method, Outside
from sage_migrate.lint.sessions.waits import label

_ASYNC = ("AsyncSession", "async_scoped_session", "AsyncConnection", "AsyncTransaction")


class AwaitMissing(ModuleRule):
    """A method of an AsyncSession, or of a streamed result, is called and its coroutine never awaited; or the other way round."""

    code = "SM302"
    condition = "What a method of an AsyncSession, an AsyncConnection or a streamed result returns is used without being awaited, or entered by a plain `with`; or something is awaited that is no coroutine."
    effect = "The statement never runs, or the next line raises TypeError or AttributeError. A lost `commit()` raises nothing: the data is gone."
    workaround = "Write `await` in front of the call, `async with` and `async for` where the object is asynchronous, and no `await` in front of what is not."
    bad = """\
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Order


async def place_order(session: AsyncSession, order: Order) -> None:
    session.add(order)
    session.commit()
"""
    good = """\
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Order


async def place_order(session: AsyncSession, order: Order) -> None:
    session.add(order)
    await session.commit()
"""

    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield a finding for each coroutine that is lost, and each await of none."""
        analysis = project.once(Analysis)
        if module.is_test or not analysis.concerns(module):
            return
        for function in ast.walk(module.tree):
            if isinstance(function, ast.AsyncFunctionDef):
                for node in own_nodes(function):
                    yield from _at(node, function, module, analysis.inference)


def _at(  # noqa: C901  a case for each kind of mistake
    node: ast.AST, function: ast.AsyncFunctionDef, module: Module, inference: Inference
) -> Iterator[Finding]:
    scope = module.scope_of(function)
    match node:
        case ast.Call() if _is_coroutine(node, scope, inference) and _is_lost(node, function, module, inference):
            yield _finding(
                node,
                f"{label(node)} returns a coroutine that nobody awaits: it does nothing here.",
                f"await {_called(node)}",
            )
        case ast.With(items=items):
            for item in items:
                entered = inference.infer(item.context_expr, scope)
                if (isinstance(entered, Instance) and entered.kind in _ASYNC) or (
                    isinstance(entered, Manager) and entered.is_async
                ):
                    yield _finding(
                        item.context_expr,
                        f"{label(item.context_expr)} is asynchronous: a plain `with` raises TypeError.",
                        f"async with {_called(item.context_expr)}",
                    )
        case ast.AsyncWith(items=items):
            for item in items:
                entered = inference.infer(item.context_expr, scope)
                if (isinstance(entered, Instance) and entered.kind in {"Session", "Connection"}) or (
                    isinstance(entered, Manager)
                    and not entered.is_async
                    and entered.function is None
                    and isinstance(entered.value, Instance)
                ):
                    yield _finding(
                        item.context_expr,
                        f"{label(item.context_expr)} is synchronous: `async with` raises TypeError.",
                        "make it of an async_sessionmaker or an AsyncEngine.",
                    )
        case ast.For(iter=iterated):
            found = inference.infer(iterated, scope)
            if isinstance(found, Instance) and found.kind == "AsyncResult":
                yield _finding(
                    iterated,
                    f"{label(iterated)} is streamed: a plain `for` raises TypeError.",
                    f"async for … in {_called(iterated)}",
                )
        case ast.Await(value=ast.Call() as call):
            method = inference.infer(call.func, scope)
            if isinstance(method, Method) and method.name in NOT_AWAITED.get(method.of.kind, ()):
                yield _finding(
                    node, f"{label(call)} is no coroutine: awaiting what it returns raises TypeError.", _called(call)
                )
        case _:
            return


def _is_coroutine(call: ast.Call, scope: Scope, inference: Inference) -> bool:
    method = inference.infer(call.func, scope)
    if isinstance(method, Method):
        return method.name in AWAITED.get(method.of.kind, ())
    if isinstance(method, Callable) and isinstance(method.node, ast.AsyncFunctionDef):
        # One of the project's own, that does something with an AsyncSession.
        context = inference.bound(method, call, scope, frozenset())
        return isinstance(inference.infer(call, scope), Coroutine) and any(
            isinstance(used := inference.infer(each.func, method.scope, context), Method) and used.of.kind in _ASYNC
            for each in own_nodes(method.node)
            if isinstance(each, ast.Call)
        )
    return False


def _is_lost(  # noqa: PLR0911  a case for each use
    node: ast.expr, function: ast.AsyncFunctionDef, module: Module, inference: Inference
) -> bool:
    """Tell whether a coroutine is used as if it were its result, or not at all."""
    parent = module.parent(node)
    match parent:
        case ast.Expr() | ast.Attribute() | ast.Compare() | ast.UnaryOp() | ast.FormattedValue() | ast.BinOp():
            return True
        case ast.For(iter=used) | ast.comprehension(iter=used) | ast.Subscript(value=used):
            return used is node
        case ast.If(test=used) | ast.While(test=used) | ast.IfExp(test=used):
            return used is node
        case ast.Return():
            return True
        case ast.Call(func=called):
            outside = inference.infer(called, module.scope_of(function))
            return isinstance(outside, Outside) and outside.name in {
                f"builtins.{name}"
                for name in ("list", "tuple", "set", "len", "bool", "sorted", "next", "int", "str", "dict")
            }
        case (
            ast.Assign(targets=[ast.Name(id=name)])
            | ast.AnnAssign(target=ast.Name(id=name))
            | ast.NamedExpr(target=ast.Name(id=name))
        ):
            uses = [
                each
                for each in ast.walk(function)
                if isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load)
            ]
            if isinstance(parent, ast.NamedExpr) and _is_lost(parent, function, module, inference):
                return True
            return not any(_is_passed_on(each, module) for each in uses)
        case _:
            return False


def _is_passed_on(name: ast.Name, module: Module) -> bool:
    parent = module.parent(name)
    return isinstance(
        parent,
        (ast.Await, ast.Call, ast.Return, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred, ast.Yield, ast.keyword),
    ) and not (isinstance(parent, ast.Call) and parent.func is name)


def _called(node: ast.expr) -> str:
    return " ".join(ast.unparse(node).split())


def _finding(node: ast.expr, message: str, instead: str) -> Finding:
    return Finding(line=node.lineno, column=node.col_offset + 1, message=message, help=f"Instead: {instead}")
