"""A primary key of 32 bits."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class IntPrimaryKey(StepRule):
    """A new table's primary key is a smallint or integer."""

    code = "SM146"
    hazards = ()
    severity = "warning"
    condition = "A new table's primary key is a smallint or integer."
    effect = "After 2,147,483,647 rows no INSERT succeeds, and the change to bigint writes the table anew."
    workaround = "Use bigint."
    bad = """\
op.create_table("tags", sa.Column("id", sa.Integer(), primary_key=True))
"""
    good = """\
op.create_table("tags", sa.Column("id", sa.BigInteger(), primary_key=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.CreateTable):
            return
        keys = {
            name
            for each in (*action.constraints, *(c for column in action.columns for c in column.constraints))
            if each.kind == "primary key"
            for name in each.columns
        }
        for column in action.columns:
            if (
                len(keys) == 1
                and column.name in keys
                and column.type is not None
                and column.type.name in ("int2", "int4", "serial", "smallserial")
            ):
                yield Finding(
                    message=f"{action.table}.{column.name} is full after 2,147,483,647 rows, and to widen it then writes the table anew.",
                    help=f"Instead: \nsa.Column({quoted(column.name)}, sa.BigInteger(), primary_key=True)",
                )
