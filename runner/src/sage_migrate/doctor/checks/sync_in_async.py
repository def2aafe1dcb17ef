"""A synchronous database session is used in the event loop."""

from collections.abc import Iterator

from sage_migrate.doctor.check import CannotTell, ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding


class SyncInAsync(ProjectCheck):
    """While one request waits for the database, all the others of the process wait too."""

    severity = "error"

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield lint's findings of that kind."""
        try:
            from sage_migrate.lint.check import Settings, lint
            from sage_migrate.lint.rules.sessions.sync_call_in_async import SyncCallInAsync

            violations = list(lint(Settings(paths=(facts.root,))))
        except ImportError as error:
            reason = "it is lint's finding, and sage-migrate[lint] is not installed"
            raise CannotTell(reason) from error
        for violation in violations:
            if violation.code == SyncCallInAsync.code:
                yield self.finding(violation.message, violation.help, path=violation.path, line=violation.line)
