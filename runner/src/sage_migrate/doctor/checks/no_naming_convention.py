"""Constraints get names that only the database knows."""

from collections.abc import Iterator

from sage_migrate.doctor.check import CannotTell, ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding

_KINDS = {"uq": "unique constraints", "ck": "checks", "fk": "foreign keys", "pk": "primary keys"}
_FIX = """metadata = MetaData(naming_convention={
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}); existing constraints keep their names until a revision renames them."""


class NoNamingConvention(ProjectCheck):
    """A later revision cannot name what it has to drop."""

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding where the models' metadata has none, or only a part of one."""
        metadata = [each for configured in facts.configured for each in configured.metadata]
        if not metadata:
            if any("naming_convention" in source.text for source in facts.sources):
                return
            if facts.configured:
                reason = "env.py gives Alembic no target_metadata"
                raise CannotTell(reason)
        missing = sorted({kind for each in metadata for kind in _KINDS if kind not in each.naming_convention})
        if missing or not metadata:
            kinds = ", ".join(_KINDS[kind] for kind in missing or _KINDS)
            yield self.finding(
                f"The models' MetaData has no naming_convention for {kinds}: PostgreSQL names them, autogenerate writes None "
                "into op.drop_constraint(), and a later revision has to guess.",
                _FIX,
            )
