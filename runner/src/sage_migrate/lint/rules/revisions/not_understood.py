"""Something that the reader could not follow."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule


class NotUnderstood(StepRule):
    """A part of the revision could not be told from its source."""

    code = "SM199"
    hazards = ()
    severity = "note"
    condition = "A part of the revision could not be told from its source."
    effect = "What it does is not judged: look at it yourself, or let `sage-migrate trace` run it."
    workaround = "Write the SQL as a literal where that is possible."
    bad = """\
op.execute(__import__("os").environ["STATEMENT"])
"""
    good = """\
op.execute("UPDATE feature_flags SET enabled = true WHERE key = 'a'")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if isinstance(action, ir.NotUnderstood):
            yield Finding(
                message=f"Not judged: {action.why}.", help="Look at it yourself, or run it: sage-migrate trace."
            )
