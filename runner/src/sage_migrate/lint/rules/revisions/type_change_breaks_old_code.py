"""A change of type that old statements do not fit."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.type_change import judge
from sage_migrate.lint.wording import quoted, table_arguments
from sage_migrate.recipes import WIDEN


class TypeChangeBreaksOldCode(StepRule):
    """A column of a live table gets a narrower type, or one of another kind."""

    code = "SM108"
    hazards = ("old_code_breaks",)
    condition = "A column of a live table gets a narrower type, or one of another kind."
    effect = "Statements of the release that still serves compare with or write the old type: they fail."
    workaround = "Add a column of the new type beside it and let the next release move over."
    bad = """\
op.alter_column("users", "age", existing_type=sa.Integer(), type_=sa.Text())
"""
    good = """\
op.add_column("users", sa.Column("age_text", sa.Text(), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.AlterType) or not step.is_live(action.table) or step.analysis.contract:
            return
        known = step.schema.column(action.table, action.column) or step.analysis.before.column(
            action.table, action.column
        )
        if judge(action, known.type if known else None).breaks_old_code:
            yield Finding(
                message=f"The release that still serves uses {action.table}.{action.column} as it was: with the type {action.type} its statements fail.",
                help="Instead: add a second column of the new type, write both, and drop the old one when no pod reads it any more.\n"
                f"op.add_column({table_arguments(action.table, with_schema=False)}, sa.Column({quoted(action.column + '_new')}, …, nullable=True))\n"
                f"# release by release: {WIDEN}",
            )
