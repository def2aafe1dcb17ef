"""A foreign key is checked while both tables are locked."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, listed, quoted


class ForeignKeyCheckedUnderLock(StepRule):
    """A foreign key is added to a live table without NOT VALID, or validated in the transaction that added it."""

    code = "SM103"
    hazards = ("fk_two_table_lock", "blocks_writes_long")
    condition = (
        "A foreign key is added to a live table without NOT VALID, or validated in the transaction that added it."
    )
    effect = (
        "Every row is checked while both tables are locked (SHARE ROW EXCLUSIVE): writes to either wait until "
        "the check is done."
    )
    workaround = "Add it NOT VALID, and validate it in a transaction of its own, which lets reads and writes through."
    bad = """\
op.create_foreign_key("fk_items_order", "items", "orders", ["order_id"], ["id"])
"""
    good = """\
op.create_foreign_key("fk_items_order", "items", "orders", ["order_id"], ["id"], postgresql_not_valid=True)
with op.get_context().autocommit_block():
    op.execute("ALTER TABLE items VALIDATE CONSTRAINT fk_items_order")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        constraint, name = None, None
        match action:
            case ir.AddConstraint(constraint=ir.Constraint(kind="foreign key", not_valid=False)):
                constraint = action.constraint
            case ir.AddColumn(column=column) if column.default is not None:
                constraint = next((each for each in column.constraints if each.kind == "foreign key"), None)
            case ir.ValidateConstraint():
                known = step.schema.tables.get(action.table)
                constraint = known.constraints.get(action.name) if known else None
                held = step.held.get(action.table)
                if constraint is None or constraint.kind != "foreign key" or held is None:
                    return
        if constraint is None or not step.is_live(action.table):
            return
        other = constraint.references or "the referenced table"
        name = constraint.name or f"{action.table}_{'_'.join(constraint.columns)}_fkey"
        both = step.is_live(other) and other != action.table
        tables = f"{action.table} and {other}" if both else action.table
        yield Finding(
            message=f"The foreign key {name} is checked row by row while {tables} {'are' if both else 'is'} locked: writes wait until the check is done.",
            help="Instead: add it without a check, then check it in a transaction of its own, which lets writes through.\n"
            f"op.create_foreign_key({quoted(name)}, {quoted(action.table)}, {quoted(other)}, {listed(constraint.columns)}, {listed(constraint.referred_columns)}, postgresql_not_valid=True)\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.execute({quoted(f'ALTER TABLE {action.table} VALIDATE CONSTRAINT {name}')})\n"
            f"{MAY_BE_LEFT}",
            hazards=self.hazards if both else ("blocks_writes_long",),
        )
