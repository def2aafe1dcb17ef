"""A timestamp without time zone."""

from collections.abc import Iterator

from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import new_columns, quoted


class TimestampWithoutZone(StepRule):
    """A new column is a timestamp without time zone."""

    code = "SM147"
    hazards = ()
    severity = "warning"
    condition = "A new column is a timestamp without time zone."
    effect = "What is stored depends on the session's or the writer's zone, and nobody can tell later."
    workaround = "Use timestamptz."
    bad = """\
op.add_column("orders", sa.Column("shipped_at", sa.DateTime(), nullable=True))
"""
    good = """\
op.add_column("orders", sa.Column("shipped_at", sa.DateTime(timezone=True), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        for column in new_columns(action):
            if column.type is not None and column.type.name == "timestamp":
                yield Finding(
                    message=f"{action.table}.{column.name} does not say in which zone its times are.",
                    help=f"Instead: \nsa.Column({quoted(column.name)}, sa.DateTime(timezone=True))",
                )
