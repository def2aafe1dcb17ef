"""An enum value is renamed or removed."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class EnumValueLost(StepRule):
    """A value of an enum that is in use gets another name, or is missing from the type that takes its place."""

    code = "SM125"
    hazards = ("old_code_breaks",)
    condition = "A value of an enum that is in use gets another name, or is missing from the type that takes its place."
    effect = "The release that still serves writes and compares with the old label: its statements fail."
    workaround = "Add the new value beside the old one."
    bad = """\
op.execute("ALTER TYPE order_state RENAME VALUE 'paid' TO 'settled'")
"""
    good = """\
with op.get_context().autocommit_block():
    op.execute("ALTER TYPE order_state ADD VALUE IF NOT EXISTS 'settled'")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if step.analysis.first or step.analysis.contract:
            return
        if isinstance(action, ir.RenameEnumValue):
            lost = action.value
        elif isinstance(action, ir.CreateEnum):
            before = step.analysis.replaced_enums.get(action.table) or step.analysis.before.enums.get(action.table, ())
            replaced = any(
                isinstance(each, ir.RenameType) and each.table == action.table for each in step.analysis.actions()
            )
            missing = [value for value in before if value not in action.values]
            if not replaced or not missing or not action.values:
                return
            lost = missing[0]
        else:
            return
        yield Finding(
            message=f"The release that still serves says '{lost}' of {action.table}: without that label its statements fail.",
            help="Instead: add the new label, let the next release write it, and leave the old one where it is.\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.execute({quoted(f'ALTER TYPE {action.table} ADD VALUE IF NOT EXISTS …')})",
        )
