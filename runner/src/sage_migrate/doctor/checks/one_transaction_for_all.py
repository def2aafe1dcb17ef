"""``transaction_per_migration`` is not set."""

from collections.abc import Iterator

from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding


class OneTransactionForAll(ProjectCheck):
    """The runner forces a transaction a revision; whoever runs bare Alembic has one for all."""

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding where env.py was seen without it, or, without a database, where it does not name it."""
        path = facts.script_directory / "env.py"
        seen = [each.per_migration for each in facts.configured]
        named = "transaction_per_migration" in path.read_text("utf-8", errors="replace")
        if not all(seen) or not (seen or named):
            yield self.finding(
                "env.py does not set transaction_per_migration: bare `alembic upgrade` applies all pending revisions in one "
                "transaction, and the locks of the first are held until the last one ends. sage-migrate forces one "
                "transaction a revision, so the two behave differently.",
                "context.configure(…, transaction_per_migration=True).",
                path=facts.shown(path),
            )
