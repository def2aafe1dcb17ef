"""An added column writes the table anew."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.effects import rewrite_reason
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted
from sage_migrate.recipes import BACKFILL, declare_backfill


class AddedColumnRewrites(StepRule):
    """A column is added to a live table with a volatile default, as stored generated, identity or serial column, or of a constrained domain."""

    code = "SM110"
    hazards = ("access_exclusive_long",)
    condition = (
        "A column is added to a live table with a volatile default, as stored generated, identity or serial "
        "column, or of a constrained domain."
    )
    effect = "Every row is written anew while ACCESS EXCLUSIVE is held: nobody reads or writes the table meanwhile."
    workaround = "Add the column without a value, set the default for new rows, fill the old ones in batches."
    bad = """\
op.add_column("orders", sa.Column("public_id", sa.UUID(), server_default=sa.text("gen_random_uuid()")))
"""
    good = """\
op.add_column("orders", sa.Column("public_id", sa.UUID(), nullable=True))
op.alter_column("orders", "public_id", server_default=sa.text("gen_random_uuid()"))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.AddColumn) or not step.is_live(action.table):
            return
        reason = rewrite_reason(action.column, step.schema.domains)
        if reason is None:
            return
        name = action.column.name
        yield Finding(
            message=f"Adding {action.table}.{name} writes every row anew while nobody else may read or write the table: {reason}.",
            help="Instead: add it empty, set the default for new rows, fill the old ones in batches.\n"
            f"op.add_column({quoted(action.table)}, sa.Column({quoted(name)}, …, nullable=True))\n"
            f"op.alter_column({quoted(action.table)}, {quoted(name)}, server_default=…)\n"
            f"# in the next revision: {declare_backfill(action.table, [name])}  ({BACKFILL})",
        )
