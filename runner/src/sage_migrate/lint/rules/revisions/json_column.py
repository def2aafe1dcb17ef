"""A column of type json."""

from collections.abc import Iterator

from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import new_columns, quoted


class JsonColumn(StepRule):
    """A new column is of type json."""

    code = "SM145"
    hazards = ()
    severity = "warning"
    condition = "A new column is of type json."
    effect = "json has no equality: DISTINCT and GROUP BY fail on it, and it cannot be indexed."
    workaround = "Use jsonb."
    bad = """\
op.add_column("users", sa.Column("settings", sa.JSON(), nullable=True))
"""
    good = """\
op.add_column("users", sa.Column("settings", postgresql.JSONB(), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        for column in new_columns(action):
            if column.type is not None and column.type.name == "json":
                yield Finding(
                    message=f"{action.table}.{column.name} is of type json: DISTINCT and GROUP BY fail on it, and it cannot be indexed.",
                    help=f"Instead: \nsa.Column({quoted(column.name)}, postgresql.JSONB())",
                )
