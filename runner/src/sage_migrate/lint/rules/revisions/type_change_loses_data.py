"""A change of type cuts values."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.type_change import judge
from sage_migrate.lint.wording import quoted, table_arguments


class TypeChangeLosesData(StepRule):
    """A column of a live table gets a type that holds less, and the values are cut to fit."""

    code = "SM109"
    hazards = ("data_loss",)
    condition = "A column of a live table gets a type that holds less, and the values are cut to fit."
    effect = "What was cut is gone, also after a downgrade."
    workaround = "Keep the old column until the new values have been checked."
    bad = """\
op.alter_column("orders", "total", existing_type=sa.Numeric(10, 2), type_=sa.Numeric(10, 0))
"""
    good = """\
op.add_column("orders", sa.Column("total_rounded", sa.Numeric(10, 0), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.AlterType) or not step.is_live(action.table):
            return
        known = step.schema.column(action.table, action.column) or step.analysis.before.column(
            action.table, action.column
        )
        if judge(action, known.type if known else None).loses_data:
            yield Finding(
                message=f"The values of {action.table}.{action.column} are cut to fit {action.type}: what is cut is gone, also after a downgrade.",
                help="Instead: put the new values into a column of their own, and drop the old one when they have been checked.\n"
                f"op.add_column({table_arguments(action.table, with_schema=False)}, sa.Column({quoted(action.column + '_new')}, …, nullable=True))",
            )
