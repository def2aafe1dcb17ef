"""create_all() in a revision."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule


class CreateAllInRevision(StepRule):
    """A revision calls metadata.create_all()."""

    code = "SM142"
    hazards = ()
    severity = "warning"
    condition = "A revision calls metadata.create_all()."
    effect = "What it makes depends on the models of the day on which it runs, not of the day on which it was written."
    workaround = "Write the tables out with op.create_table."
    bad = """\
from app.models import Base

def upgrade():
    Base.metadata.create_all(bind=op.get_bind())
"""
    good = """\
op.create_table("tags", sa.Column("id", sa.BigInteger(), primary_key=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if isinstance(action, ir.CreateAll):
            yield Finding(
                message="What create_all() makes depends on the models of the day, so this revision changes with them.",
                help="Instead: write the tables out.\nop.create_table(…)",
            )
