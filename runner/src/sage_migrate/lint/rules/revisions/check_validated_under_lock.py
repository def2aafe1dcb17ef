"""A check constraint is validated under ACCESS EXCLUSIVE."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, quoted


class CheckValidatedUnderLock(StepRule):
    """A check constraint is added to a live table without NOT VALID."""

    code = "SM104"
    hazards = ("access_exclusive_long",)
    condition = "A check constraint is added to a live table without NOT VALID."
    effect = "Every row is read while ACCESS EXCLUSIVE is held: nobody reads or writes the table meanwhile."
    workaround = "Add it NOT VALID, and validate it in a transaction of its own."
    bad = """\
op.create_check_constraint("ck_items_quantity", "items", "quantity > 0")
"""
    good = """\
op.create_check_constraint("ck_items_quantity", "items", "quantity > 0", postgresql_not_valid=True)
with op.get_context().autocommit_block():
    op.execute("ALTER TABLE items VALIDATE CONSTRAINT ck_items_quantity")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        constraint = None
        match action:
            case ir.AddConstraint(constraint=ir.Constraint(kind="check" | "not null", not_valid=False)):
                constraint = action.constraint
            case ir.AddColumn():
                constraint = next((each for each in action.column.constraints if each.kind == "check"), None)
        if constraint is None or not step.is_live(action.table):
            return
        name = constraint.name or f"{action.table}_{'_'.join(constraint.columns)}_check"
        yield Finding(
            message=f"The check {name} reads every row of {action.table} while nobody else may read or write it.",
            help="Instead: add it without a check of the rows, then validate it in a transaction of its own.\n"
            f"op.create_check_constraint({quoted(name)}, {quoted(action.table)}, {quoted(constraint.expression or '…')}, postgresql_not_valid=True)\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.execute({quoted(f'ALTER TABLE {action.table} VALIDATE CONSTRAINT {name}')})\n"
            f"{MAY_BE_LEFT}",
        )
