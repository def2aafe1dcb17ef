"""An index that costs each write and serves no query."""

from collections.abc import Iterator

from sage_migrate.concurrent_ddl import INVALID_INDEXES_SQL
from sage_migrate.doctor.check import DatabaseCheck, DatabaseFacts
from sage_migrate.doctor.findings import Finding


class InvalidIndex(DatabaseCheck):
    """What a broken-off CREATE INDEX CONCURRENTLY leaves; ``IF NOT EXISTS`` keeps it for ever."""

    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield a finding for each that nobody is building."""
        for row in facts.rows(INVALID_INDEXES_SQL):
            yield self.finding(
                f"Index {row['index']} of {row['relation']} is INVALID: a build was broken off. It costs each write and serves "
                "no query, and CREATE INDEX IF NOT EXISTS keeps it.",
                f"REINDEX INDEX CONCURRENTLY {row['index']}; or DROP INDEX CONCURRENTLY {row['index']}; and build it again.",
            )
