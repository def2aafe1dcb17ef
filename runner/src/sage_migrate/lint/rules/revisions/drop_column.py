"""A column is dropped."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted


class DropColumn(StepRule):
    """A column of a live table is dropped."""

    code = "SM112"
    hazards = ("old_code_breaks", "data_loss")
    condition = "A column of a live table is dropped."
    effect = "The release that still serves names it in its statements: they fail. Its values are gone."
    workaround = (
        "Release code that does not know the column first; then drop it in a revision that is declared as contract."
    )
    bad = """\
op.drop_column("users", "bio")
"""
    good = """\
sage_migrate = {"phase": "contract", "reason": "no release reads it since 2.4"}

def upgrade():
    op.drop_column("users", "bio")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.DropColumn) or not step.is_live(action.table) or step.analysis.contract:
            return
        if (action.table, action.column) in step.analysis.new_columns:
            return
        yield Finding(
            message=f"The release that still serves names {action.table}.{action.column}: its statements fail once it is dropped, and its values are gone.",
            help="Instead: release code without it first (in the model: deferred, or removed), then drop it in a revision of its own that says so.\n"
            f"{CONTRACT}\n"
            f"op.drop_column({quoted(action.table)}, {quoted(action.column)})",
        )
