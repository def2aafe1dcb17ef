"""A constraint of a domain is checked in all tables that use it."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class DomainCheckedUnderLock(StepRule):
    """ALTER DOMAIN adds a constraint without NOT VALID."""

    code = "SM127"
    hazards = ("blocks_writes_long",)
    condition = "ALTER DOMAIN adds a constraint without NOT VALID."
    effect = "Every table with a column of the domain is read under a SHARE lock: writes to all of them wait."
    workaround = "Add it NOT VALID, and validate it in a transaction of its own, in a quiet hour."
    bad = """\
op.execute("ALTER DOMAIN positive_int ADD CONSTRAINT small CHECK (VALUE < 1000)")
"""
    good = """\
op.execute("ALTER DOMAIN positive_int ADD CONSTRAINT small CHECK (VALUE < 1000) NOT VALID")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.ConstrainDomain) or action.not_valid or step.analysis.first:
            return
        yield Finding(
            message=f"Every table with a column of the domain {action.table} is read while writes to it wait.",
            help="Instead: add the constraint for new values alone.\n"
            f"op.execute({quoted(step.statement.sql + ' NOT VALID')})",
        )
