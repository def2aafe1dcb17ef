"""A change of type writes the table anew."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.type_change import judge
from sage_migrate.lint.wording import quoted, table_arguments
from sage_migrate.recipes import WIDEN


class TypeChangeRewrites(StepRule):
    """A column of a live table gets a type that PostgreSQL cannot read the stored values as."""

    code = "SM107"
    hazards = ("access_exclusive_long",)
    condition = "A column of a live table gets a type that PostgreSQL cannot read the stored values as."
    effect = (
        "The table and its indexes are written anew while ACCESS EXCLUSIVE is held: nobody reads or writes it "
        "meanwhile."
    )
    workaround = "Add a column of the new type, keep both in step by a trigger, copy in batches, then switch."
    bad = """\
op.alter_column("items", "quantity", existing_type=sa.Integer(), type_=sa.BigInteger())
"""
    good = """\
op.add_column("items", sa.Column("quantity_new", sa.BigInteger(), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.AlterType) or not step.is_live(action.table):
            return
        known = step.schema.column(action.table, action.column) or step.analysis.before.column(
            action.table, action.column
        )
        old = action.existing_type or (known.type if known else None)
        if not judge(action, old).rewrites:
            return
        change = (
            f"from {old} to {action.type}"
            if old and action.type
            else f"to {action.type}"
            if action.type
            else "to another type"
        )
        if old is None:
            change += " (from a type that this history does not tell)"
        yield Finding(
            message=f"Changing {action.table}.{action.column} {change} writes every row and index anew while nobody else may read or write the table.",
            help="Instead: add a second column, keep it in step, copy in batches, switch in a later release.\n"
            f"op.add_column({table_arguments(action.table, with_schema=False)}, sa.Column({quoted(action.column + '_new')}, …, nullable=True))\n"
            f"# then a trigger that copies {action.column}, a backfill in batches, and the swap in a later release: {WIDEN}",
        )
