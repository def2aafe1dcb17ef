"""The application makes tables beside the migrations."""

from collections.abc import Iterator

from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding


class CreateAll(ProjectCheck):
    """Whoever comes first makes the table, and the revision that should make it fails."""

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding for each call outside of revisions and tests."""
        env = facts.script_directory / "env.py"
        for source in (*facts.application, *(each for each in facts.sources if each.path == env)):
            for line in source.attributes("create_all"):
                yield self.finding(
                    "create_all() beside migrations: it makes the tables of a new model before their revision runs, which then "
                    "fails (42P07), and it never alters one that is there.",
                    "remove the call, and let the migrations alone make tables; keep it for tests.",
                    path=facts.shown(source.path),
                    line=line,
                )
