"""Rows are deleted."""
# ruff: noqa: E501, S608  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted


class RowsDeleted(StepRule):
    """TRUNCATE, or a DELETE of more than the few rows that it names, on a live table."""

    code = "SM118"
    hazards = ("data_loss", "old_code_breaks")
    condition = "TRUNCATE, or a DELETE of more than the few rows that it names, on a live table."
    effect = "The rows are gone, also after a downgrade, and the release that still serves finds nothing."
    workaround = (
        "Copy what may be needed again first; delete in batches; declare the revision as contract, with the reason."
    )
    bad = """\
op.execute("DELETE FROM audit_log")
"""
    good = """\
sage_migrate = {"phase": "contract", "reason": "exported to the archive"}

def upgrade():
    with op.get_context().autocommit_block():
        while op.get_bind().execute(sa.text("DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log LIMIT 1000)")).rowcount:
            pass
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if step.analysis.contract or not step.is_live(action.table):
            return
        whole = isinstance(action, ir.Truncate)
        if isinstance(action, ir.Delete) and not action.filter.never:
            whole = action.filter.selects == "most"
            if not whole and not step.statement.repeated:
                return
        elif not isinstance(action, ir.Truncate):
            return
        yield Finding(
            message=f"The rows of {action.table} are gone after this, also after a downgrade; the release that still serves does not find them.",
            help="Instead: export what may be needed, delete in batches, and say why in the revision.\n"
            f"{CONTRACT}\n"
            f"op.execute({quoted(f'DELETE FROM {action.table} WHERE id IN (SELECT id FROM {action.table} WHERE … LIMIT 1000)')})",
            hazards=("data_loss", "old_code_breaks") if whole else ("data_loss",),
        )
