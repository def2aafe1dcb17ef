"""A foreign key without an index."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import listed, quoted


class ForeignKeyWithoutIndex(StepRule):
    """A foreign key's columns are not the first ones of any index that the history tells of."""

    code = "SM144"
    hazards = ()
    severity = "warning"
    condition = "A foreign key's columns are not the first ones of any index that the history tells of."
    effect = "DELETE and UPDATE of a referenced row search the whole table."
    workaround = "Add an index on the columns."
    bad = """\
op.create_table(
    "invoices",
    sa.Column("id", sa.BigInteger(), primary_key=True),
    sa.Column("order_id", sa.BigInteger(), sa.ForeignKey("orders.id"), nullable=False),
)
"""
    good = """\
op.create_table(
    "invoices",
    sa.Column("id", sa.BigInteger(), primary_key=True),
    sa.Column("order_id", sa.BigInteger(), sa.ForeignKey("orders.id"), nullable=False, index=True),
)
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.CreateTable):
            return
        keys = [each for column in action.columns for each in column.constraints] + list(action.constraints)
        indexed = {each.columns[:1] for each in keys if each.kind in ("unique", "primary key")}
        indexed |= {
            each.columns[:1]
            for each in step.analysis.actions()
            if isinstance(each, ir.CreateIndex) and each.table == action.table
        }
        for key in keys:
            if key.kind == "foreign key" and key.columns[:1] not in indexed and ir.UNKNOWN not in key.columns:
                yield Finding(
                    message=f"{action.table} ({', '.join(key.columns)}) has a foreign key and no index: deleting a row of {key.references} searches the whole table.",
                    help=f"Instead: \nop.create_index({quoted('ix_' + action.table + '_' + '_'.join(key.columns))}, {quoted(action.table)}, {listed(key.columns)})",
                )
