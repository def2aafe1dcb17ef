"""Drive the project's own env.py, unmodified: one transaction a revision, under limits, lock and guard."""

import functools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.context  # noqa: F401  registers the module proxy that GateEnvironment shares
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import event
from sqlalchemy.engine import Connection

from sage_migrate.advisory_lock import holds_lock_sql
from sage_migrate.durations import as_milliseconds
from sage_migrate.errors import (
    ContractRefusedError,
    EndedShortError,
    GateError,
    WrongDatabaseError,
)
from sage_migrate.failures import LOCK_NOT_AVAILABLE, RETRYABLE, Circumstances, explain, sqlstate_of
from sage_migrate.gate import Gate, MigrationBackend
from sage_migrate.lineage import Known
from sage_migrate.logs import adopt_standard_logging, log
from sage_migrate.preflight.position import Position, check_position
from sage_migrate.project import Project, parents_of
from sage_migrate.redact import shorten_sql
from sage_migrate.report import Report, RevisionResult, revisions_to_apply
from sage_migrate.retry import describe_blockers, lock_not_obtained, wait_for_blockers
from sage_migrate.session import KEEPALIVE, quote_identifier, quote_literal, set_config_sql

_OWN_TIMEOUT = re.compile(r"\s*SET\s+(?:SESSION\s+|LOCAL\s+)?(lock_timeout|statement_timeout)\b", re.IGNORECASE)


class GateEnvironment(EnvironmentContext):
    """Alembic's environment, with the gate's hand on the two calls that every env.py makes."""

    def __init__(self, run: "MigrationRun", destination: str) -> None:
        """Prepare for ``env.py`` to be run towards ``destination``."""
        self._run = run
        super().__init__(run.project.config, run.project.script, fn=run.steps, destination_rev=destination)

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Force one transaction a revision, and take the connection under the gate's watch."""
        adopt_standard_logging()
        if connection is not None:
            self._run.adopt(connection)
        theirs = options.get("on_version_apply") or ()
        options["on_version_apply"] = (
            *(theirs if isinstance(theirs, Sequence) else (theirs,)),
            self._run.on_version_apply,
        )
        options["transaction_per_migration"] = True
        super().configure(connection, *args, **options)

    def run_migrations(self, **arguments: Any) -> None:
        """Run the pending revisions, each again while its lock is not to be had."""
        self._run.run_with_retries(functools.partial(super().run_migrations, **arguments), self.get_context())


# The proxy that makes `alembic.context` is registered by exact class.
EnvironmentContext._setups[GateEnvironment] = EnvironmentContext._setups[EnvironmentContext]  # noqa: SLF001


class MigrationRun:
    """One run of env.py towards a target: what is known of the connection, the revision and the statement at work."""

    def __init__(
        self, gate: Gate, project: Project, report: Report, destination: str, open_gate: Callable[[Connection], None]
    ) -> None:
        """Prepare the run. ``open_gate`` opens the gate's sessions where only env.py knows the database."""
        self.gate = gate
        self.project = project
        self.report = report
        self._destination = destination
        self._open_gate = open_gate
        self._connection: Connection | None = None
        self._external = False
        self._reached_steps = False
        self._refusal: GateError | None = None
        self._position: Position | None = None
        self._plan: tuple[str, ...] = ()
        self._tries = 0
        self._work = 0
        self._stamped = False
        self._own_timeouts = False

    def apply(self) -> Position:
        """Run env.py until the plan is done; return where the version table is, as this run's transactions left it.

        Raises:
            GateError: for everything that ends the run short of its target.
        """
        while True:
            try:
                with GateEnvironment(self, self._destination):
                    self.project.script.run_env()
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                failure = self._failure(error)
                if not self._can_run_env_again(error):
                    raise failure from error
                log.warning(
                    "env_run_again",
                    revision=self.report.revision,
                    reason="one external transaction around all revisions",
                )
                self._wait_for_next_try(error)
                continue
            finally:
                self.gate.release_backend()
                self.report.pending = revisions_to_apply(self._plan, self.report.applied)
            self._check_ended()
            assert self._position is not None
            return self._position

    # Called by GateEnvironment, inside env.py

    def adopt(self, connection: Connection) -> None:
        """Verify that ``connection`` reaches the lock's database, set its limits, and listen to it."""
        self.gate.interruption.check()
        self._external = bool(connection.in_transaction())
        if not self.gate.is_open:
            self._open_gate(connection)
        try:
            self._verify_database(connection)
        except GateError as error:
            self._refusal = error
            raise
        _execute_raw(connection, self._limits_sql(), keep=True, external=self._external)
        if self.gate.settings.role:
            _execute_raw(
                connection, f"SET ROLE {quote_identifier(self.gate.settings.role)}", keep=True, external=self._external
            )
        if self._external:
            log.warning(
                "external_transaction",
                effect="env.py began a transaction before context.configure(): all revisions are applied in one transaction, "
                "and locks add up; limits, lock and guard hold all the same",
                remedy="call context.configure() before anything that begins a transaction",
            )
        self._connection = connection
        event.listen(connection, "before_cursor_execute", self._before_statement)
        event.listen(connection, "after_cursor_execute", self._after_statement)
        event.listen(connection, "commit", self._before_commit)
        event.listen(connection, "rollback", self._on_rollback)

    def steps(self, heads: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
        """Yield the pending steps: what comes after a ``yield`` runs when that revision's transaction has ended."""
        self._reached_steps = True
        with self._refusals():
            position = self._look(heads, context)
            steps = [] if position.ahead else list(self.project.script._upgrade_revs(self._destination, heads))  # noqa: SLF001  as alembic.command does
            self._begin_plan(position, steps)
        if not steps and position.lineage_is_stale and not position.ahead:
            self._record_lineage(context)
        for step in steps:
            with self._refusals():
                self._begin_revision(step)
            yield step
            self._end_revision(context)

    def on_version_apply(self, *, ctx: MigrationContext, step: Any, heads: set[str], **_: Any) -> None:
        """Note, inside the revision's transaction, that its version row is written."""
        assert self._position is not None
        self._position = self._position.moved_to(heads)
        if self._position.lineage_is_stale:
            self._record_lineage(ctx)
        self._stamped = True
        self.gate.interruption.check()

    def run_with_retries(self, run_migrations: Callable[[], None], context: MigrationContext) -> None:
        """Call ``run_migrations`` until it ends, again after a lock that was not to be had.

        A failed try has rolled the revision's transaction back; the next call goes on from the version table.
        """
        while True:
            try:
                run_migrations()
                break
            except Exception as error:
                if self._external or not self._can_try_again(error):
                    raise
                self._wait_for_next_try(error)
        self._commit_what_is_left(context)

    # One revision

    def _begin_plan(self, position: Position, steps: list[RevisionStep]) -> None:
        self._position = position
        plan = tuple(step.revision.revision for step in steps)
        if not self.report.applied and not self._plan:
            self.report.before = position.current
            log.info("plan", current=position.current, target=self._destination, pending=plan)
        self._plan = (*(each.revision for each in self.report.applied), *plan)

    def _begin_revision(self, step: RevisionStep) -> None:
        self.gate.check_lock()
        revision = step.revision.revision
        declaration = self.project.declaration(revision)
        if declaration.phase == "contract" and self.gate.settings.phase == "expand":
            msg = f"Revision {revision} is declared `contract`: pods of the previous release may not survive it. This run may only expand."
            raise ContractRefusedError(
                msg,
                remedy="Deploy it with the release after the one that stopped using what it takes away; or, once, "
                "--phase all (SAGE_MIGRATE_PHASE) when those pods are gone.",
                facts={"revision": revision},
            )
        if self.report.revision != revision:
            self._tries = 0
        self._tries += 1
        self.report.revision, self.report.partly_committed = revision, False
        self._work, self._stamped = 0, False
        self._revision_started = time.monotonic()
        if self._own_timeouts and self._connection is not None:
            _execute_raw(self._connection, self._limits_sql(), keep=True, external=self._external)
            self._own_timeouts = False
        self.gate.guard.stall_budget = declaration.stall_budget or self.gate.settings.stall_budget
        log.info(
            "revision_started",
            revision=revision,
            message=step.revision.doc,
            phase=declaration.phase,
            attempt=self._tries,
            **(
                {"stall_budget_seconds": declaration.stall_budget, "reason": declaration.reason}
                if declaration.stall_budget
                else {}
            ),
        )

    def _end_revision(self, context: MigrationContext) -> None:
        assert self.report.revision is not None
        if not self._external and self._connection is not None and self._connection.in_transaction():
            # The revision ended Alembic's transaction by a commit() of its own: the version row is in another one.
            log.warning("revision_committed_itself", revision=self.report.revision)
            self._commit_what_is_left(context)
        if self.gate.backend is not None:
            self.gate.backend.committing = False
        seconds = round(time.monotonic() - self._revision_started, 3)
        self.report.applied.append(
            RevisionResult(revision=self.report.revision, duration_seconds=seconds, tries=self._tries)
        )
        log.info("revision_applied", revision=self.report.revision, duration_seconds=seconds, tries=self._tries)
        self.report.revision, self.report.partly_committed = None, False
        self.gate.expect_deadline_error(None)

    def _commit_what_is_left(self, context: MigrationContext) -> None:
        """Commit what no revision's transaction holds, as bare Alembic's own outer transaction would have done."""
        connection = context.connection
        if not self._external and connection is not None and connection.in_transaction():
            transaction = connection.get_transaction()
            if transaction is not None:
                transaction.commit()

    def _record_lineage(self, context: MigrationContext) -> None:
        assert self._position is not None
        assert context.connection is not None
        if not self._position.may_comment:
            log.warning(
                "lineage_not_recorded", remedy=f"ALTER TABLE {self._position.table} OWNER TO the migrating role"
            )
            self._position = self._position.recorded(self._position.lineage)
            return
        lineage = self._position.lineage.merge(self._known())
        context.connection.exec_driver_sql(
            f"COMMENT ON TABLE {self._position.table} IS {quote_literal(lineage.to_comment())}".replace("%", "%%")
        )
        self._position = self._position.recorded(lineage)

    def _known(self) -> dict[str, Known]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {
            revision: Known(
                parents=parents_of(script),
                contract=self.project.declaration(revision).phase == "contract",
                image=self.gate.settings.image or "",
                at=now,
            )
            for revision, script in self.project.scripts.items()
        }

    # Retries

    def _can_try_again(self, error: BaseException) -> bool:
        return (
            sqlstate_of(error) in RETRYABLE
            and self.gate.interruption.error is None
            and not self.report.partly_committed
            and self.report.revision is not None
        )

    def _can_run_env_again(self, error: BaseException) -> bool:
        return self._external and self._can_try_again(error)

    def _wait_for_next_try(self, error: BaseException) -> None:
        assert self.report.revision is not None
        assert self.gate.watch is not None
        sqlstate = sqlstate_of(error) or LOCK_NOT_AVAILABLE
        blockers, self.gate.guard.blockers = self.gate.guard.blockers, []
        statement = self.gate.backend.statement if self.gate.backend else ""
        revision, tries, literals = self.report.revision, self._tries, self.gate.settings.show_literals
        self.gate.expect_deadline_error(
            lambda: lock_not_obtained(self.gate, revision, statement, blockers, sqlstate, tries)
        )
        log.info(
            "lock_try_failed",
            revision=revision,
            tries=tries,
            sqlstate=sqlstate,
            statement=shorten_sql(statement, literals=literals),
            blockers=self.gate.call(describe_blockers(self.gate.watch, blockers, show_literals=literals)),
        )
        self.gate.call(
            wait_for_blockers(self.gate.watch, blockers, revision=revision, tries=tries, show_literals=literals)
        )

    # The connection

    def _verify_database(self, connection: Connection) -> None:
        """Refuse a connection that does not reach the database in which the lock is held."""
        ours = holds_lock_sql(self.gate.lock_pid, self.gate.lock_token)
        (found,) = _execute_raw(
            connection,
            f"SELECT pg_backend_pid(), {ours}, current_database(), coalesce(inet_server_addr()::text, 'a socket'),"
            " coalesce(inet_server_port(), 0), (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())",
            external=self._external,
        )
        pid, same, database, address, port, backend_start = found
        if not same:
            locked = self.gate.settings.database_url
            msg = f"env.py connects to database {database} at {address} port {port}; the runner holds its lock in {locked or 'another database'}."
            raise WrongDatabaseError(
                msg,
                remedy="Let env.py take its URL from sqlalchemy.url or DATABASE_URL, which the runner sets, or give the runner "
                "env.py's URL in SAGE_MIGRATE_DATABASE_URL.",
            )
        self.gate.watch_backend(MigrationBackend(pid=pid, backend_start=backend_start or ""))

    def _limits_sql(self) -> str:
        settings = self.gate.settings
        return set_config_sql(
            {
                **KEEPALIVE,
                "lock_timeout": as_milliseconds(settings.lock_timeout),
                "statement_timeout": as_milliseconds(settings.statement_timeout),
                # A runner that died must not leave its statement running, nor its transaction open.
                "client_connection_check_interval": "500ms",
                "idle_in_transaction_session_timeout": as_milliseconds(settings.deadline),
            }
        )

    def _before_statement(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.gate.interruption.check()
        own = _OWN_TIMEOUT.match(statement)
        if own:
            self._own_timeouts = True
            log.info("timeout_set_by_revision", revision=self.report.revision, setting=own[1].lower())
        backend = self.gate.backend
        if backend is not None:
            backend.statement, backend.started, backend.running = statement, time.monotonic(), True

    def _after_statement(self, *_: Any) -> None:
        self._work += 1
        if self.gate.backend is not None:
            self.gate.backend.running = False

    def _before_commit(self, _connection: Connection) -> None:
        self.gate.interruption.check()
        if self.gate.backend is not None:
            self.gate.backend.running, self.gate.backend.committing = False, self._stamped
        if self.report.revision is not None and not self._stamped and self._work:
            self.report.partly_committed = True

    def _on_rollback(self, _connection: Connection) -> None:
        self._work = 0
        if self.gate.backend is not None:
            self.gate.backend.running = False

    # Ends

    def _refusals(self) -> "_Refusals":
        return _Refusals(self)

    def _look(self, heads: tuple[str, ...], context: MigrationContext) -> Position:
        return check_position(self.project, self.gate.settings, heads, context, self._destination, self._known)

    def _failure(self, error: BaseException) -> GateError:
        if self.gate.interruption.error is not None:
            return self.gate.interruption.error
        if self._refusal is not None:
            return self._refusal
        backend = self.gate.backend
        settings = self.gate.settings
        return explain(
            error,
            Circumstances(
                revision=self.report.revision,
                statement=backend.statement if backend else "",
                statement_seconds=time.monotonic() - backend.started if backend else 0.0,
                statement_timeout=settings.statement_timeout,
                connected=self._connection is not None,
                script_directory=Path(self.project.script.dir).resolve(),
                show_literals=settings.show_literals,
            ),
        )

    def _check_ended(self) -> None:
        """Refuse an end without an error that left work undone."""
        self.gate.interruption.check()
        if self._refusal is not None:
            raise self._refusal
        if not self._reached_steps:
            msg = "env.py returned without running any migration: it did not call context.run_migrations() on a connection."
            raise EndedShortError(
                msg,
                remedy="See what env.py decides on before it (a variable, an argument), and set that for the runner.",
            )
        if self.report.revision is not None:
            msg = f"env.py swallowed the error of revision {self.report.revision}."
            raise EndedShortError(
                msg,
                remedy="Let env.py re-raise what it catches; the events above say what it was.",
                facts={"revision": self.report.revision},
            )


class _Refusals:
    """Remember a refusal that is raised through env.py, which may swallow or wrap it."""

    def __init__(self, run: MigrationRun) -> None:
        self._run = run

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GateError):
            self._run._refusal = error  # noqa: SLF001


def _execute_raw(connection: Connection, sql: str, *, external: bool, keep: bool = False) -> list[tuple[Any, ...]]:
    """Run ``sql`` below SQLAlchemy, which would otherwise begin a transaction that Alembic then takes for external.

    ``keep`` commits, so that a setting outlives the transaction that the driver began for it.
    """
    driver = connection.connection
    cursor = driver.cursor()
    try:
        cursor.execute(sql)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        cursor.close()
    if not external:
        driver.commit() if keep else driver.rollback()
    return rows
