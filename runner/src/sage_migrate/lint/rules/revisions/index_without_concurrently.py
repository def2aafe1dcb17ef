"""CREATE INDEX without CONCURRENTLY."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, listed, quoted, table_arguments


class IndexWithoutConcurrently(StepRule):
    """An index is built on a live table without CONCURRENTLY."""

    code = "SM101"
    hazards = ("blocks_writes_long",)
    condition = "An index is built on a live table without CONCURRENTLY."
    effect = (
        "CREATE INDEX holds a SHARE lock on the table until the whole index is built: every INSERT, UPDATE "
        "and DELETE waits."
    )
    workaround = "Build it CONCURRENTLY, outside of a transaction block."
    bad = """\
op.create_index("ix_orders_status", "orders", ["status"])
"""
    good = """\
with op.get_context().autocommit_block():
    op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True, if_not_exists=True)
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if (
            not isinstance(action, ir.CreateIndex)
            or action.concurrently
            or action.only
            or not step.is_live(action.table)
        ):
            return
        name = action.name or f"ix_{action.table.replace('.', '_')}_{'_'.join(action.columns)}"
        unique = ", unique=True" if action.unique else ""
        yield Finding(
            message=f"Building the index {name} locks {action.table} against writes until it is done: all INSERT, UPDATE and DELETE wait.",
            help="Instead: build it concurrently, in a revision of its own.\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.create_index({quoted(name)}, {table_arguments(action.table)}, {listed(action.columns)}{unique}"
            f", postgresql_concurrently=True, if_not_exists=True)\n{MAY_BE_LEFT}",
        )
