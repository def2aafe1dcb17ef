"""A transaction is open before ``context.configure()``."""

import ast
from collections.abc import Iterator
from pathlib import Path

from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding
from sage_migrate.doctor.sources import Source

_BEGINS = ("begin", "execute", "scalar", "scalars", "exec_driver_sql")


class ExternalTransaction(ProjectCheck):
    """Alembic leaves such a transaction alone: transaction_per_migration is lost, autocommit_block fails."""

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding where env.py was seen in one, or, without a database, where its source begins one."""
        source = Source(path := facts.script_directory / "env.py", Path(path).read_text("utf-8", errors="replace"))
        line = _begins_first(source)
        if any(each.is_external for each in facts.configured) or (not facts.configured and line):
            yield self.finding(
                "env.py begins a transaction (engine.begin(), or a statement) before context.configure(). Alembic then keeps "
                "all pending revisions in that one: transaction_per_migration has no effect, their locks add up, "
                "autocommit_block() fails, and a failure rolls all of them back.",
                "use engine.connect(), call context.configure() first, then `with context.begin_transaction():`; what must run "
                "before it goes between the two, or is ended by connection.commit() before configure().",
                path=facts.shown(path),
                line=line,
            )


def _begins_first(source: Source) -> int | None:
    """Return the line where a transaction begins before the call of ``configure``, as far as the source tells."""
    for node in source.nodes:
        is_with = isinstance(node, ast.With | ast.AsyncWith)
        if is_with and any(_called(item.context_expr) == "begin" for item in node.items):  # type: ignore[attr-defined]
            return int(node.lineno)  # type: ignore[attr-defined]
    scopes = [node for node in source.nodes if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in scopes:
        calls = sorted(
            (
                (each.lineno, name)
                for each in _own_nodes(scope)
                if isinstance(each, ast.Call) and (name := _called(each))
            ),
        )
        online = [line for line, name in calls if name == "configure" and line in _online(scope)]
        before = [(line, name) for line, name in calls if online and line < online[-1] and name in (*_BEGINS, "commit")]
        if before and before[-1][1] != "commit":
            return before[-1][0]
    return None


def _online(scope: ast.AST) -> set[int]:
    """Return the lines of the calls of ``configure`` that are given a connection."""
    return {
        node.lineno
        for node in ast.walk(scope)
        if isinstance(node, ast.Call)
        and _called(node) == "configure"
        and (node.args or any(keyword.arg in ("connection", None) for keyword in node.keywords))
    }


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of ``scope`` that are in no function within it."""
    queue = list(ast.iter_child_nodes(scope))
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            queue += ast.iter_child_nodes(node)


def _called(node: ast.AST) -> str | None:
    call = node.value if isinstance(node, ast.Await) else node
    return call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else None
