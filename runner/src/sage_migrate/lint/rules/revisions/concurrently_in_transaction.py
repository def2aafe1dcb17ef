"""A command that PostgreSQL refuses in a transaction block."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class ConcurrentlyInTransaction(StepRule):
    """A command that refuses to run in a transaction block stands outside of autocommit_block()."""

    code = "SM102"
    hazards = ("concurrently_in_transaction",)
    condition = "A command that refuses to run in a transaction block stands outside of autocommit_block()."
    effect = "PostgreSQL refuses it: the revision fails, every time."
    workaround = "Put it into autocommit_block(), alone in its string."
    bad = """\
op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True)
"""
    good = """\
with op.get_context().autocommit_block():
    op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True)
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        what = _refuser(action)
        if what is None or not step.in_own_transaction():
            return
        if step.statement.parts > 1 and not step.statement.in_transaction:
            reason = "several statements in one string are one transaction"
        else:
            reason = "Alembic runs a revision in a transaction"
        line = step.statement.sql or "…  # as it stands"
        yield Finding(
            message=f"{what} cannot run inside a transaction block, and {reason}: PostgreSQL refuses it.",
            help="Instead: leave the transaction for it; keep it alone in its string.\n"
            "with op.get_context().autocommit_block():\n"
            f"    {f'op.execute({quoted(line)})' if step.statement.sql else line}",
        )


def _refuser(action: ir.Action) -> str | None:  # noqa: PLR0911  one return a command  # noqa: PLR0911
    match action:
        case ir.CreateIndex(concurrently=True):
            return "CREATE INDEX CONCURRENTLY"
        case ir.DropIndex(concurrently=True):
            return "DROP INDEX CONCURRENTLY"
        case ir.Reindex(concurrently=True):
            return "REINDEX CONCURRENTLY"
        case ir.DetachPartition(concurrently=True):
            return "DETACH PARTITION CONCURRENTLY"
        case ir.RewriteTable(refuses_transaction=True):
            return action.what
        case ir.OutsideOnly():
            return action.what
        case _:
            return None
