"""REINDEX without CONCURRENTLY."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, quoted


class ReindexWithoutConcurrently(StepRule):
    """An index of a live table is rebuilt without CONCURRENTLY."""

    code = "SM120"
    hazards = ("blocks_writes_long",)
    condition = "An index of a live table is rebuilt without CONCURRENTLY."
    effect = "Writes to the table wait until the index is built, and so do the reads that would use it."
    workaround = "REINDEX … CONCURRENTLY, outside of a transaction block."
    bad = """\
op.execute("REINDEX TABLE items")
"""
    good = """\
with op.get_context().autocommit_block():
    op.execute("REINDEX TABLE CONCURRENTLY items")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.Reindex) or action.concurrently or step.analysis.first:
            return
        owner = action.table or step.schema.index_owner(action.name)
        if (owner and not step.is_live(owner)) or (
            action.what in ("SCHEMA", "DATABASE", "SYSTEM") and step.in_own_transaction()
        ):
            return
        yield Finding(
            message=f"REINDEX {action.what} {action.name} locks {owner or 'its table'} against writes until the index is built.",
            help="Instead: rebuild it concurrently.\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.execute({quoted(f'REINDEX {action.what} CONCURRENTLY {action.name}')})\n"
            f"{MAY_BE_LEFT}",
        )
