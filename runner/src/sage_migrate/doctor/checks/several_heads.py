"""The history has more than one head."""

from collections.abc import Iterator

from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding


class SeveralHeads(ProjectCheck):
    """Two branches that nobody joined, usually of two pull requests."""

    severity = "error"

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding where `head` is ambiguous."""
        heads = facts.project.heads
        if len(heads) > 1:
            yield self.finding(
                f"The history has {len(heads)} heads: {', '.join(heads)}. `upgrade head` is refused, with exit status 20.",
                "join them (alembic merge heads); or, if they are separate on purpose, migrate with "
                "`sage-migrate upgrade heads`.",
            )
