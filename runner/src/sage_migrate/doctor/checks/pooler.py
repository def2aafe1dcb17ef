"""The migration goes through a pooler."""

import re
from collections.abc import Iterator

from sage_migrate.database_url import DatabaseURL
from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding

# Supabase's and Neon's host names, and what people call their own.
_HOST = re.compile(r"pooler|pgbouncer|pgcat|odyssey|supavisor|-pool\b", re.IGNORECASE)
_PORT = re.compile(r":(?:6432|6543)\b")
_FIX = (
    "give the migration a direct URL in SAGE_MIGRATE_DATABASE_URL (Helm: migration.database), and leave the app's DATABASE_URL "
    "on the pooler."
)


class Pooler(ProjectCheck):
    """In transaction mode session locks and timeouts do not hold, and the runner refuses it with exit status 13."""

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding where a pooler showed itself, or where the URL looks like one's."""
        url = facts.settings.database_url
        if facts.pooler:
            yield self.finding(
                f"env.py connects through a pooler: {facts.pooler}. In transaction mode the runner refuses it, with exit "
                "status 13; in session mode it works.",
                _FIX,
                severity="error",
            )
        elif not facts.configured and url is not None and _looks_pooled(url):
            yield self.finding(
                f"{url.hosts} looks like a pooler's address. In transaction mode the runner refuses it, with exit status 13.",
                _FIX,
            )


def _looks_pooled(url: DatabaseURL) -> bool:
    return bool(_HOST.search(url.hosts) or _PORT.search(url.hosts) or "pgbouncer" in url.query)
