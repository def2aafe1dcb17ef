"""A new enum value is used in the transaction that adds it."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class EnumValueUsedTooEarly(StepRule):
    """ALTER TYPE … ADD VALUE and a statement that uses the value stand in one transaction."""

    code = "SM126"
    hazards = ("concurrently_in_transaction",)
    condition = "ALTER TYPE … ADD VALUE and a statement that uses the value stand in one transaction."
    effect = "PostgreSQL refuses to use the value before it is committed: the revision fails."
    workaround = "Add the value in autocommit_block(), or in an earlier revision."
    bad = """\
op.execute("ALTER TYPE order_state ADD VALUE 'returned'")
op.execute("UPDATE orders SET state = 'returned' WHERE id = 7")
"""
    good = """\
with op.get_context().autocommit_block():
    op.execute("ALTER TYPE order_state ADD VALUE 'returned'")
op.execute("UPDATE orders SET state = 'returned' WHERE id = 7")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if isinstance(action, (ir.AddEnumValue, ir.CreateTable, ir.CreateFunction)):
            return
        for (name, value), transaction in step.analysis.new_enum_values.items():
            if transaction == step.statement.transaction and value in step.statement.literals:
                yield Finding(
                    message=f"The value '{value}' of {name} is used in the transaction that adds it: PostgreSQL refuses that.",
                    help="Instead: commit the value first.\n"
                    "with op.get_context().autocommit_block():\n"
                    f"    op.execute({quoted(f'ALTER TYPE {name} ADD VALUE ')} + \"'{value}'\")",
                )
