"""A function, sequence or extension goes, or gets another name."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted


class ObjectDropped(StepRule):
    """A live function, sequence or extension is dropped or renamed."""

    code = "SM128"
    hazards = ("old_code_breaks",)
    condition = "A live function, sequence or extension is dropped or renamed."
    effect = "What the release that still serves calls by that name fails."
    workaround = "Release code that does not call it first; then drop it in a revision that is declared as contract."
    bad = """\
op.execute("DROP FUNCTION price_with_tax(numeric)")
"""
    good = """\
sage_migrate = {"phase": "contract", "reason": "2.4 computes the tax itself"}

def upgrade():
    op.execute("DROP FUNCTION price_with_tax(numeric)")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if (
            not isinstance(action, ir.DropObject)
            or not step.is_live(action.table)
            or step.analysis.contract
            or step.analysis.made_again(action.table)
            or _is_nobodys(step, action)
        ):
            return
        what = f"the {action.what} {action.table}"
        gone = f"called {action.new_name}" if action.new_name else "gone"
        yield Finding(
            message=f"The release that still serves may call {what}: once it is {gone}, its statements fail.",
            help="Instead: first release code that does without it, then do this in a revision of its own that says so.\n"
            f"{CONTRACT}\n"
            f"op.execute({quoted(step.statement.sql or '…')})",
        )


def _is_nobodys(step: Step, action: ir.DropObject) -> bool:
    """Tell whether statements cannot call it: a trigger's function, or the sequence of a default that goes too."""
    others = list(step.analysis.actions())
    if action.what == "sequence":
        of_serial = action.table.endswith("_id_seq") and not action.cascade  # its default knows it by number
        return of_serial or any(isinstance(each, (ir.SetDefault, ir.DropColumn, ir.DropTable)) for each in others)
    function = step.schema.functions.get(action.table) or step.analysis.before.functions.get(action.table)
    if function is not None:
        return function.trigger
    return action.cascade or any(isinstance(each, ir.BriefAlter) and each.what == "DROP TRIGGER" for each in others)
