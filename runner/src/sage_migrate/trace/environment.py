"""Drive the project's own env.py, unmodified, through steps of the trace's choosing."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import alembic.command
import alembic.context  # registers the module proxy that TraceEnvironment shares
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.engine import Connection

from sage_migrate.project import Project
from sage_migrate.revision_environment import RevisionEnvironment
from sage_migrate.trace.scratch_database import NotScratchError, ScratchDatabase, only_scratch_connections


class TraceEnvironment(RevisionEnvironment):
    """Alembic's environment, in which env.py applies the steps that it is given, each in a transaction of its own."""

    def __init__(
        self, project: Project, steps: Callable[[tuple[str, ...], MigrationContext], Iterator[RevisionStep]]
    ) -> None:
        """Prepare for env.py to be run."""
        self.connection: Connection | None = None
        self.is_external = False
        """Whether env.py began a transaction of its own, which only it may end."""
        self.options: dict[str, Any] = {}
        command = (alembic.command.upgrade, ["revision"], ["sql", "tag"])
        vars(project.config.cmd_opts).update({"cmd": command, "revision": "heads"})
        super().__init__(project.config, project.script, fn=steps, destination_rev="heads")

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Force one transaction a revision, and keep what env.py has chosen."""
        if connection is None:
            raise NotScratchError(
                "env.py calls context.configure() without a connection: nothing can be traced.",
                remedy="Let it connect and pass connection=…, as `alembic upgrade` needs it.",
            )
        self.connection, self.options = connection, options
        self.is_external = bool(connection.in_transaction())
        super().configure(connection, *args, **options)

    def run_migrations(self, **arguments: Any) -> None:
        """Run the steps, in env.py's own transaction where it has one."""
        self.is_external = self.is_ended_by_hand(self.connection) or self.is_external
        super().run_migrations(**arguments)


# The proxy that makes `alembic.context` is registered by exact class.
EnvironmentContext._setups[TraceEnvironment] = EnvironmentContext._setups[EnvironmentContext]  # noqa: SLF001


class Environment:
    """env.py, run again for each part of the history, and allowed to reach the scratch database alone."""

    def __init__(self, project: Project, database: ScratchDatabase) -> None:
        """Bind a project to a database."""
        self.project, self.database = project, database
        self.target_metadata: Any = None
        self.version_table = "alembic_version"

    def apply(
        self,
        steps: Callable[[tuple[str, ...]], Iterable[RevisionStep]],
        begin: Callable[[Connection], None] | None = None,
    ) -> None:
        """Run env.py through the steps that are asked for where the database is; ``begin`` hears of its connection first.

        Raises:
            NotScratchError: env.py connects elsewhere; nothing was sent there.
            Exception: whatever env.py or a step raises.
        """

        def run(heads: tuple[str, ...], _context: MigrationContext) -> Iterator[RevisionStep]:
            assert environment.connection is not None
            if begin is not None:
                begin(environment.connection)
            for step in steps(heads):
                yield step
                if not environment.is_external:
                    _commit_what_is_left(environment.connection)

        environment = TraceEnvironment(self.project, run)
        self._run_env(environment)

    def _run_env(self, environment: TraceEnvironment) -> None:
        # What env.py prints would stand in the trace's own answer.
        with only_scratch_connections(self.database) as refusals, contextlib.redirect_stdout(sys.stderr):
            try:
                with environment:
                    self.project.run_env()
            except BaseException:
                if refusals:
                    raise refusals[0] from None
                raise
        if refusals:
            raise refusals[0]
        self._keep(environment)

    def look(self, look: Callable[[MigrationContext], None]) -> None:
        """Run env.py through no step, and hand what it configured to ``look``."""

        def run(_heads: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
            look(context)
            yield from ()

        self._run_env(TraceEnvironment(self.project, run))

    def _keep(self, environment: TraceEnvironment) -> None:
        self.target_metadata = environment.options.get("target_metadata")
        table = environment.options.get("version_table") or "alembic_version"
        schema = environment.options.get("version_table_schema")
        self.version_table = f"{schema}.{table}" if schema and schema != "public" else table


def _commit_what_is_left(connection: Connection) -> None:
    """Commit what no revision's transaction holds: a revision that ended Alembic's own put its version row into the next."""
    transaction = connection.get_transaction()
    if transaction is not None:
        transaction.commit()
