"""Is the schema what this code needs? For an application's readiness probe: at its head, or known ahead of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sage_migrate.declarations import declaration_of
from sage_migrate.lineage import parse_lineage
from sage_migrate.session import quote_identifier


@dataclass(frozen=True, kw_only=True)
class SchemaState:
    """What was found: whether the code can serve, and the reason in one sentence for the log."""

    ready: bool
    reason: str
    current: tuple[str, ...]
    required: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SchemaReadiness:
    """The revisions that this code needs, and where the database keeps its own."""

    required: tuple[str, ...]
    version_table: str = "alembic_version"
    version_table_schema: str | None = None
    online: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The parents of each online revision, which the code does without."""

    @classmethod
    def from_script_location(
        cls,
        script_location: str | Path,
        *,
        version_table: str = "alembic_version",
        version_table_schema: str | None = None,
    ) -> Self:
        """Read the heads of the history in ``script_location``; env.py is not run.

        Raises:
            alembic.util.CommandError: the directory is not there, or its history is broken.
        """
        directory = ScriptDirectory(str(script_location))
        return cls(
            required=tuple(sorted(directory.get_heads())),
            version_table=version_table,
            version_table_schema=version_table_schema,
            online={
                script.revision: script._versioned_down_revisions  # noqa: SLF001  as `project.parents_of`
                for script in directory.walk_revisions()
                if declaration_of(script.module, script.path).online
            },
        )

    async def check(self, connection: AsyncConnection) -> SchemaState:
        """Look at the version table and the recorded lineage, and change nothing.

        A database that is ahead is ready where the lineage shows that ``required`` is its ancestor with no
        contract revision in between: a rollback of the release must bring pods back that serve. One that lacks
        nothing but online revisions at the end of the history is ready too.
        """
        table = quote_identifier(self.version_table)
        if self.version_table_schema is not None:
            table = f"{quote_identifier(self.version_table_schema)}.{table}"
        found = await connection.execute(
            text("SELECT to_regclass(:name)::oid, obj_description(to_regclass(:name)::oid, 'pg_class')"),
            {"name": table},
        )
        oid, comment = found.one()
        if oid is None:
            return self._state((), f"no revision was applied yet: there is no table {self.version_table}")
        current = tuple(sorted((await connection.execute(text(f"SELECT version_num FROM {table}"))).scalars()))  # noqa: S608  quoted
        required = self._least(current)
        if set(current) == required:
            return self._state(current, None)
        missing = parse_lineage(comment).why_not_ahead(current, required)
        return self._state(current, missing, ahead=True)

    def _least(self, current: tuple[str, ...]) -> set[str]:
        """Return the revisions that the code cannot do without, above those where the database is."""
        required = set(self.required)
        while online := {each for each in required if each in self.online and each not in current}:
            required = (required - online).union(*(self.online[each] for each in online))
        return required

    def _state(self, current: tuple[str, ...], problem: str | None, *, ahead: bool = False) -> SchemaState:
        at = ", ".join(current) or "no revision"
        needs = ", ".join(self.required) or "no revision"
        if problem is not None:
            reason = f"The database is at {at}, this code needs {needs}: {problem}."
        else:
            suffix = f", known to be ahead of {needs}" if ahead else ""
            reason = f"The database is at {at}{suffix}."
        return SchemaState(ready=problem is None, reason=reason, current=current, required=self.required)
