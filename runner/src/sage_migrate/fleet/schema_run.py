"""One run of env.py for many schemas: env.py connects once, and one schema after the other is upgraded on that connection.

A tenant that fails ends the run as it would end any other, through env.py; the next tenant gets a new connection. So it
does after a revision that changed its session, and after some thousand statements, since a server process remembers every
table that it ever saw.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import create_mock_engine
from sqlalchemy.engine import Connection

from sage_migrate.advisory_lock import take_lock, tenant_key
from sage_migrate.apply import GateEnvironment, MigrationRun
from sage_migrate.errors import EndedShortError, GateError, UsageError
from sage_migrate.fleet.attempt import Attempt
from sage_migrate.fleet.drift import read_digests, read_objects
from sage_migrate.fleet.positions import pending_after, read_positions
from sage_migrate.fleet.results import CheckTenants, SchemaTask, Task, TenantPosition, UpgradeTenant, is_of_schemas
from sage_migrate.gate import Gate
from sage_migrate.lineage import Known
from sage_migrate.migration_connection import ANY_TENANT
from sage_migrate.online import has_online, online_runner
from sage_migrate.preflight.position import (
    Position,
    VersionTable,
    find_version_table,
    make_position,
    read_versions,
)
from sage_migrate.project import offer_url
from sage_migrate.session import Session, connect_by_url, quote_identifier, quote_literal
from sage_migrate.upgrade import check_versions, connect_like, open_gate, runner_lock_not_had

if TYPE_CHECKING:
    from sage_migrate.fleet.worker import Worker

# What a server process keeps of the tables that so many statements made or changed is some ten megabytes.
_STATEMENTS_PER_CONNECTION = 4000


class SchemaEnvironment(GateEnvironment):
    """Alembic's environment, configured once for all schemas."""

    def __init__(self, run: "SchemaRun") -> None:
        """Prepare for env.py to be run."""
        super().__init__(run)
        self._schemas = run

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Let the version table be that of the schema at hand, whichever it is."""
        super().configure(connection, *args, **{**options, "version_table_schema": ANY_TENANT})
        context = self.get_context()
        own = {
            "_has_version_table": functools.partial(self._schemas.has_version_table, context),
            "_ensure_version_table": functools.partial(self._schemas.ensure_version_table, context),
        }
        vars(context).update(own)


# As for its parent: the proxy that makes `alembic.context` is registered by exact class.
SchemaEnvironment._setups[SchemaEnvironment] = SchemaEnvironment._setups[GateEnvironment]  # noqa: SLF001


class SchemaRun(MigrationRun):
    """A run of env.py that does one task after the other where a project's own would do one."""

    is_for_many = True

    def __init__(self, worker: "Worker", gate: Gate, task: SchemaTask, attempt: Attempt) -> None:
        """Begin with ``task``."""
        super().__init__(gate, worker.project, attempt.report, worker.target, lambda c: self._open(connect_like(c)))
        self.task: SchemaTask = task
        """The one at hand, or the last one that was."""
        self.following: Task | None = None
        """A task that came and is to be done elsewhere."""
        self.attempt = attempt
        self._worker = worker
        self._has_online = has_online(worker.project)
        self._environment: SchemaEnvironment | None = None
        self._adopted: Connection | None = None
        self._was_reached = False
        self._is_answered = False
        self._checked: list[TenantPosition] = []
        self._held: int | None = None
        """The key of the tenant's lock that is held: given back for the next one's, or with the session."""
        self._table_ddl: list[str] = []
        self._table = ""
        """The version table's name, as the server spells it."""
        self._found: VersionTable | None = None
        """What was read of the schema's version table and is not used yet."""

    @property
    def schema(self) -> str | None:
        """The schema of the tenant at hand."""
        return self.task.tenant.name if isinstance(self.task, UpgradeTenant) else None

    def run_tasks(self) -> None:
        """Run env.py, and in it one task after the other, until there is none or the connection is to be a new one.

        Raises:
            GateError: the task at hand failed, and is not answered.
        """
        if self.gate.settings.database_url is not None:
            offer_url(self.gate.settings, self.project)
            self._open(connect_by_url(self.gate.settings))
        self.apply()
        if isinstance(self.task, CheckTenants) and not self._is_answered:
            self._worker.env_is_proved = True
            self._answer(self._checked)
        elif not self._is_answered:  # env.py's own transaction is committed by now
            self._complete()

    def schema_is_gone(self) -> bool:
        """Tell whether the schema of the task that failed was dropped meanwhile."""
        if self.schema is None or self.gate.watch is None:
            return False
        sql = f"SELECT 1 FROM pg_namespace WHERE nspname = {quote_literal(self.schema)}"  # noqa: S608  quoted
        with contextlib.suppress(Exception):  # any driver's: then it is not known
            return not self.gate.call_at_the_end(_count(self.gate.watch, sql))
        return False

    # What is different from a run of one

    def make_environment(self) -> GateEnvironment:
        """Return the environment of this run of env.py."""
        self._adopted, self._was_reached, self._table_ddl = None, False, []
        self._environment = SchemaEnvironment(self)
        return self._environment

    def adopt(self, connection: Connection) -> None:
        """Take the one connection that env.py makes under the gate's watch."""
        if connection is self._adopted:
            return
        if self._adopted is not None:
            self._refuse_second_database()
            return
        super().adopt(connection)
        self._adopted = connection

    def run_with_retries(self, run_migrations: Callable[[], None]) -> None:
        """Do the task at hand and those that follow, each tenant's revisions as those of a project's one database."""
        if self._was_reached:
            self._refuse_second_database()
            return
        self._was_reached = True
        while True:
            if isinstance(self.task, CheckTenants):
                with self._refusals():
                    self._checked = self._check(self.task)
                if not self._worker.env_is_proved:
                    return  # answered when env.py has ended: one that goes on to another database is refused
                self._answer(self._checked)
            elif self._is_left_to_online_run():
                self._answer(self.attempt.result())
            else:
                with self._refusals():
                    self._enter_schema()
                super().run_with_retries(run_migrations)
                assert self._connection is not None
                if self._connection.is_external:
                    return  # complete when env.py has committed
                self._complete()
            if self._is_used_up() or not self._worker.has_task() or not self._begin_next():
                return

    # SQLAlchemy asks for each table that is called so in any schema, and then for the schema: a thousand rows for each tenant.
    # By its whole name it is found at once, together with what else is to be known of it.

    def has_version_table(self, context: MigrationContext) -> bool:
        """Answer for Alembic whether the schema has its version table."""
        if self._found is None:
            self._found = replace(find_version_table(context), name=self._table)
        return self._found.exists

    def ensure_version_table(self, context: MigrationContext, *, purge: bool = False) -> None:
        """Make the schema's version table for Alembic, which asks when it has found no version."""
        assert not purge, "no command of ours purges"
        assert context.connection is not None
        if not self.has_version_table(context):
            assert self._found is not None
            # Within the first revision's transaction, which begins here: a revision that fails leaves no table either.
            for statement in self._version_table_ddl(context):
                context.connection.exec_driver_sql(statement)
            self._found = replace(self._found, exists=True, may_comment=True)

    def _version_table_ddl(self, context: MigrationContext) -> list[str]:
        """Return what makes a version table, which SQLAlchemy would compile for each schema."""
        if not self._table_ddl:
            assert context.connection is not None
            dialect = context.connection.dialect

            def keep(ddl: Any, *_: Any, **__: Any) -> None:
                self._table_ddl.append(str(ddl.compile(dialect=dialect)))

            context._version.create(create_mock_engine("postgresql://", keep), checkfirst=False)  # noqa: SLF001  as the method that is replaced
        return self._table_ddl

    def read_position(self, heads: tuple[str, ...], context: MigrationContext) -> Position:
        """Return the position by what was read when Alembic asked; the next try reads it anew."""
        self.has_version_table(context)
        table, self._found = self._found, None
        assert table is not None
        return make_position(heads, table, self._known)

    def _pending_steps(self, heads: tuple[str, ...]) -> list[RevisionStep]:
        key = (self.project.script.revision_map, heads)
        if key not in self._worker.steps:
            self._worker.steps[key] = super()._pending_steps(heads)
        return self._worker.steps[key]

    def _known(self) -> dict[str, Known]:
        if self._worker.known is None:
            self._worker.known = super()._known()
        return self._worker.known

    def _ended(self) -> Position:
        if not self._is_answered and not self._checked:
            return super()._ended()
        if self._refusal is not None:  # env.py swallowed it
            raise self._refusal
        return cast("Position", self._position)  # after checks alone there is none, and nobody asks

    # One task

    def _open(self, connect: Any) -> None:
        open_gate(self.gate, connect, tenants=())

    def _begin_next(self) -> bool:
        """Begin the next task and forget the one before; return whether there is one that can be done here."""
        task = self._worker.receive()
        # The guard may have been lost meanwhile: nothing is done unwatched.
        if not is_of_schemas(task) or self.gate.interruption.error is not None:
            self.following = task
            return False
        self.task, self._is_answered = task, False
        self.attempt.end()
        self.attempt = self._worker.begin(self.task)
        self.report = self.attempt.report
        self.positions, self._position, self._plan, self._tries = {}, None, (), 0
        self._refusal = self._raised = None
        self._left.clear()
        self._backfilled.clear()
        self.gate.start_over(self.attempt.settings, self.attempt.interruption)
        self.gate.guard.take_blockers()
        return True

    def _answer(self, answer: object) -> None:
        self._worker.answer(answer)
        self._is_answered, self._checked = True, []

    def _is_left_to_online_run(self) -> bool:
        """Tell whether an online run is at the tenant, and all that is pending is for it: then this run waits for nothing."""
        if not self._has_online or self.gate.settings.online:
            return False
        assert self.schema is not None
        assert self.gate.database is not None
        assert isinstance(self.task, UpgradeTenant)
        with self._refusals():
            if self.gate.call(online_runner(self.gate.database.lock, tenant_key(self.schema))) is None:
                return False
            (position,) = self._check(CheckTenants(tenants=(self.task.tenant,)))
        if position.state not in ("online-pending", "at-head"):
            return False
        self.report.before = position.current
        self.report.left += pending_after(position.current, self.project)
        return True

    def _enter_schema(self) -> None:
        assert self.schema is not None
        assert self.gate.database is not None
        assert self._connection is not None
        assert self._environment is not None
        self.gate.expect_deadline_error(runner_lock_not_had)
        held, self._held = self._held, tenant_key(self.schema)
        if_locked = self.gate.settings.if_locked
        self.gate.call(take_lock(self.gate.database.lock, self._held, if_locked=if_locked, instead_of=held))
        self.gate.expect_deadline_error(None)
        self.gate.note_lock_checked()
        table = self._environment.get_context().version_table
        self._found = self._connection.enter_schema(self.schema, table, *self._worker.shared_schemas)
        if self._found is None:
            raise EndedShortError(
                f"There is no schema {self.schema}.",
                remedy="Take the tenant out of the source, or create its schema.",
            )
        self._table = self._found.name
        self._environment.get_context().version_table_schema = self.schema

    def _check(self, task: CheckTenants) -> list[TenantPosition]:
        assert self.gate.database is not None
        assert self._environment is not None
        table = self._environment.get_context().version_table
        return self.gate.call(self._read_as_owner(self.gate.database.lock, task, table))

    async def _read_as_owner(self, session: Session, task: CheckTenants, table: str) -> list[TenantPosition]:
        names = [tenant.name for tenant in task.tenants]
        role = self.gate.settings.role
        if role:
            await session.fetch(f"SET ROLE {quote_identifier(role)}")
        try:
            positions = await read_positions(session, names, table, self.project, self._known())
            if task.reads == "digest":
                digests = await read_digests(session, names)
                return [replace(each, digest=digests.get(each.tenant)) for each in positions]
            if task.reads == "objects":
                return [replace(each, objects=await read_objects(session, each.tenant)) for each in positions]
            return positions
        finally:
            if role:
                await session.fetch("RESET ROLE")

    def _complete(self) -> None:
        """Verify what the tenant's transactions left, and answer."""
        assert self._position is not None
        assert self.schema is not None
        assert self.gate.database is not None
        check_versions(self._read_own_versions(self._position.table), self._position, self.report, self.project)
        self.gate.rest()
        self._answer(self.attempt.result(ahead=self._position.ahead))

    def _read_own_versions(self, table: str) -> tuple[str, ...]:
        """Read the version table by its name alone: to look for it among those of a thousand tenants takes longer."""
        assert self.gate.watch is not None
        try:
            rows = self.gate.call(self.gate.watch.fetch(f"SELECT version_num FROM {table}"))  # noqa: S608  quoted
        except GateError:
            raise
        except Exception:  # noqa: BLE001  any driver's: it is another role's table, or not there
            return self.gate.call(read_versions(self.gate.watch, table))
        return tuple(sorted(row["version_num"] for row in rows))

    def _is_used_up(self) -> bool:
        assert self._connection is not None
        return (
            self._connection.changed_session
            or self._connection.statements >= _STATEMENTS_PER_CONNECTION
            or self.gate.interruption.error is not None
        )

    def _refuse_second_database(self) -> None:
        """Refuse an env.py that goes on to another database, or runs migrations again: it would be whose tenants'."""
        if not self._is_answered:
            with self._refusals():
                raise UsageError(
                    "env.py runs migrations more than once, and a fleet of schemas needs one that does so once.",
                    remedy="Let env.py migrate what `-x tenant=NAME` names, and say --tenant-is argument.",
                )


async def _count(session: Session, sql: str) -> int:
    return len(await session.fetch(sql))
