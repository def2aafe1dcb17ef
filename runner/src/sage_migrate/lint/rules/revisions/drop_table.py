"""A table is dropped."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted, table_arguments


class DropTable(StepRule):
    """A live table, or a schema with what is in it, is dropped."""

    code = "SM113"
    hazards = ("old_code_breaks", "data_loss")
    condition = "A live table, or a schema with what is in it, is dropped."
    effect = "The statements of the release that still serves fail. The rows are gone."
    workaround = (
        "Release code that does not know the table first; then drop it in a revision that is declared as contract."
    )
    bad = """\
op.drop_table("audit_log")
"""
    good = """\
sage_migrate = {"phase": "contract", "reason": "replaced by events in 2.4"}

def upgrade():
    op.drop_table("audit_log")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, (ir.DropTable, ir.DropSchema)) or step.analysis.first or step.analysis.contract:
            return
        if isinstance(action, ir.DropTable) and not step.is_live(action.table):
            return
        what = action.table if isinstance(action, ir.DropTable) else f"the schema {action.table}"
        there = isinstance(action, ir.DropTable) and step.analysis.made_again(action.table)
        effect = (
            "Its rows are gone"
            if there
            else "The statements of the release that still serves fail, and its rows are gone"
        )
        yield Finding(
            message=f"{effect} once {what} is dropped.",
            help="Instead: release code without it first, then drop it in a revision of its own that says so.\n"
            f"{CONTRACT}\n"
            + (
                f"op.drop_table({table_arguments(action.table)})"
                if isinstance(action, ir.DropTable)
                else f"op.execute({quoted(step.statement.sql)})"
            ),
            hazards=("data_loss",) if there else self.hazards,
        )
