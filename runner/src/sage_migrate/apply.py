"""Drive the project's own env.py, unmodified: one transaction a revision, each again while its lock is not to be had."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import alembic.command
import alembic.context  # registers the module proxy that GateEnvironment shares
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy.engine import Connection

from sage_migrate.blockers import describe_blockers
from sage_migrate.concurrent_ddl import named_index, note_estimate_sql, too_long
from sage_migrate.declarations import Backfill
from sage_migrate.errors import (
    ConnectionLostError,
    ContractRefusedError,
    DatabaseUnreachableError,
    DeadlineExceededError,
    EndedShortError,
    GateError,
    MigrationFailedError,
    StallBudgetExceededError,
    WrongDatabaseError,
)
from sage_migrate.failures import (
    LOCK_NOT_AVAILABLE,
    QUERY_CANCELED,
    RETRYABLE,
    Circumstances,
    chain,
    explain,
    sqlstate_of,
)
from sage_migrate.gate import Gate, LockedDatabase, MigrationBackend
from sage_migrate.lineage import Known
from sage_migrate.logs import adopt_standard_logging, log
from sage_migrate.migration_connection import MigrationConnection
from sage_migrate.online import OnlineLeftError, still_needed
from sage_migrate.preflight.position import Position, check_position, read_position, read_versions
from sage_migrate.project import Project, parents_of
from sage_migrate.redact import shorten_sql
from sage_migrate.report import Report, RevisionResult, revisions_to_apply
from sage_migrate.retry import lock_not_obtained, wait_a_moment, wait_for_blockers
from sage_migrate.reviewed import check_reviewed
from sage_migrate.revision_environment import RevisionEnvironment
from sage_migrate.session import quote_literal, set_config_sql
from sage_migrate.version_row import one_statement_for_all
from sage_migrate.wait import wait_for_database

_SETTLE_SECONDS = 12


class GateEnvironment(RevisionEnvironment):
    """Alembic's environment, with the gate's hand on the two calls that every env.py makes."""

    def __init__(self, run: "MigrationRun") -> None:
        """Prepare for env.py to be run towards the run's destination."""
        self._run = run
        # Some env.py files look at the command line that started them.
        command = alembic.command.downgrade if run.report.is_downgrade else alembic.command.upgrade
        options = {"cmd": (command, ["revision"], ["sql", "tag"]), "revision": run.destination}
        vars(run.project.config.cmd_opts).update(options)
        super().__init__(
            run.project.config,
            run.project.script,
            fn=run.steps,
            as_sql=False,
            starting_rev=None,
            destination_rev=run.destination,
            tag=None,
        )

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Force one transaction a revision, and take the connection under the gate's watch."""
        adopt_standard_logging()
        if connection is not None:
            self._run.adopt(connection)
        theirs = options.get("on_version_apply") or ()
        theirs = theirs if isinstance(theirs, Iterable) else (theirs,)
        options["on_version_apply"] = (*theirs, self._run.on_version_apply)
        super().configure(connection, *args, **options)

    def run_migrations(self, **arguments: Any) -> None:
        """Run the pending revisions, each again while its lock is not to be had."""
        if self.is_ended_by_hand(self.get_context().connection):
            self._run.stay_below_transaction()
        with one_statement_for_all():
            self._run.run_with_retries(functools.partial(super().run_migrations, **arguments))


# The proxy that makes `alembic.context` is registered by exact class.
EnvironmentContext._setups[GateEnvironment] = EnvironmentContext._setups[EnvironmentContext]  # noqa: SLF001


class MigrationRun:
    """One run of env.py towards a destination."""

    is_for_many: ClassVar[bool] = False
    """Whether one tenant after the other is migrated on env.py's connection."""

    def __init__(
        self,
        gate: Gate,
        project: Project,
        report: Report,
        destination: str,
        open_gate: Callable[[Connection], None],
    ) -> None:
        """Prepare the run. ``open_gate`` opens the gate's sessions where only env.py knows the database."""
        self.gate = gate
        self.project = project
        self.report = report
        self.destination = destination
        self._open_gate = open_gate
        self._connection: MigrationConnection | None = None
        self._listening: list[MigrationConnection] = []
        """All that the run of env.py at work has configured, one for each of its databases."""
        self._position: Position | None = None
        self.positions: dict[tuple[LockedDatabase, str], Position] = {}
        """Where each version table of each database is to be found when the run has ended."""
        self._plan: tuple[str, ...] = ()
        self._left: set[tuple[str, LockedDatabase | None, str]] = set()
        """Revisions that are left, each with its database and version table."""
        self._backfilled: set[tuple[str, LockedDatabase | None, str]] = set()
        """Those whose backfill is done; with a version table of its own each, also of a fleet's tenants."""
        self._tries = 0
        self._revision_started = 0.0
        self._refusal: GateError | None = None
        self._raised: BaseException | None = None
        self._goes_on_without = False
        """Whether env.py is to be run again, for what comes beside the revision that is left."""

    def apply(self) -> Position:
        """Run env.py until the plan is done; return where this run's transactions left the version table.

        Raises:
            GateError: for everything that ends the run short of its destination.
        """
        started = time.monotonic()
        self.project.check_dry_run()
        while True:
            try:
                with self.make_environment():
                    self.project.run_env()
            except BaseException as error:  # env.py may also exit, or be cancelled
                if self._has_exited_when_done(error):
                    return self._ended()
                failure = self._failure(error)
                if self._is_waiting_for_database(failure, started):
                    log.info(
                        "database_awaited", reason=failure.what, waited_seconds=round(time.monotonic() - started, 3)
                    )
                    self.gate.call(wait_a_moment())
                elif self._goes_on_without:
                    self._goes_on_without = False
                elif self._may_begin_again(error):
                    self._wait_for_next_try(error)
                else:
                    raise failure from error
            else:
                return self._ended()
            finally:
                self._raised = None
                for each in self._listening:
                    each.let_go()
                self._listening.clear()
                self.gate.release_backend()
                self.report.pending = revisions_to_apply(self._plan, self.report.applied)

    def make_environment(self) -> GateEnvironment:
        """Return the environment that env.py runs in."""
        return GateEnvironment(self)

    # Called by GateEnvironment, inside env.py

    def adopt(self, connection: Connection) -> None:
        """Take ``connection`` under the gate's watch."""
        self.gate.interruption.check()
        with self._refusals():
            if not self.gate.is_open:
                self._open_gate(connection)
            before = self._connection
            self._listening = [each for each in self._listening if not each.let_go(connection)]
            self._connection = self._enter_database(connection)
            self._listening.append(self._connection)
            self.gate.check_may_cancel(self._connection.backend)
        beside = before is not None and before.goes_on_beside(connection) and self.gate.backend is before.backend
        self.gate.watch_backend(self._connection.backend, beside=beside)

    def steps(self, heads: tuple[str, ...], context: MigrationContext) -> Iterator[RevisionStep]:
        """Yield the pending steps: what comes after a ``yield`` runs when that revision's transaction has ended."""
        if self._connection is None:
            raise _never_ran()
        self._connection.repeat_local_settings()  # a version table that was missing may have been committed
        with self._refusals():
            self.project.read_history()
            found = self.read_position(heads, context)
            position = check_position(self.project, self.gate.settings, found, self.destination)
            steps = [] if position.ahead else self._pending_steps(heads)
            self._begin_plan(position, steps)
            if self.gate.settings.require_review and not self.report.is_downgrade:
                files = {step.revision.revision: Path(step.revision.path) for step in steps}
                check_reviewed(self.gate.settings, Path(self.project.script.dir), files)
        if not steps and position.lineage_is_stale and not position.ahead:
            self._record_lineage(context)
        for step in steps:
            if self._follows_what_is_left(step):
                continue
            with self._refusals():
                try:
                    self._begin_revision(step)
                except OnlineLeftError as left:
                    self._leave(left)
                    continue
            self._connection.repeat_local_settings()
            yield step
            self._end_revision()

    def read_position(self, heads: tuple[str, ...], context: MigrationContext) -> Position:
        """Read where the version table is and what is beside it, on env.py's own connection."""
        return read_position(heads, context, self._known)

    def on_version_apply(self, *, ctx: MigrationContext, heads: set[str], **_: Any) -> None:
        """Note, inside the revision's transaction, that its version row is written."""
        assert self._connection is not None
        assert self._position is not None
        self._move_to(self._position.moved_to(heads))
        if self._position.lineage_is_stale:
            self._record_lineage(ctx)
        self._connection.mark_stamped()

    def stay_below_transaction(self) -> None:
        """Commit each revision below the transaction that env.py ends itself."""
        if self._connection is not None:
            self._connection.stay_below_transaction()

    def run_with_retries(self, run_migrations: Callable[[], None]) -> None:
        """Call ``run_migrations`` until it ends, again after a lock that was not to be had.

        A failed try has rolled the revision's transaction back; the next call goes on from the version table.
        """
        if self._connection is not None:
            self._connection.begin_run()
        while True:
            try:
                if self._connection is not None:
                    self._connection.repeat_local_settings()
                run_migrations()
                break
            except Exception as error:
                self._raised = error
                if (left := self._left_by(error)) is not None:
                    assert self._connection is not None
                    with self._refusals():
                        self._leave(left)
                    if self._connection.holds_work_of_env:
                        self._goes_on_without = True
                        raise
                    self._connection.roll_back_what_is_left()
                elif self._is_envs_to_repeat() or not self._can_try_again(error):
                    raise  # env.py is to be run again from its start, or not at all
                else:
                    assert self._connection is not None
                    self._connection.roll_back_what_is_left()
                    self._wait_for_next_try(error)
                self._raised = None
        if self._connection is not None:
            self._connection.commit_what_is_left()

    # One revision

    def _enter_database(self, connection: Connection) -> MigrationConnection:
        """Take ``connection`` in its database: only the first must reach the one that the lock was taken in.

        Where env.py migrates several, each further one is locked and watched like the first.
        """
        for database in self.gate.databases:
            self.gate.turn_to(database)
            try:
                return MigrationConnection(self.gate, connection, is_for_many=self.is_for_many)
            except WrongDatabaseError:
                if self._connection is None:
                    raise
        self._open_gate(connection)
        return MigrationConnection(self.gate, connection, is_for_many=self.is_for_many)

    def _move_to(self, position: Position) -> None:
        assert self.gate.database is not None
        self._position = position
        self.positions[self.gate.database, position.table] = position

    def _pending_steps(self, heads: tuple[str, ...]) -> list[RevisionStep]:
        # The call that alembic.command makes: there is no public one that yields steps.
        plan = self.project.script._downgrade_revs if self.report.is_downgrade else self.project.script._upgrade_revs  # noqa: SLF001
        return list(plan(self.destination, heads))  # type: ignore[arg-type]

    def _begin_plan(self, position: Position, steps: list[RevisionStep]) -> None:
        first_time = not self.positions
        self._move_to(position)
        pending = tuple(step.revision.revision for step in steps)
        self._plan = (*(each.revision for each in self.report.applied), *pending)
        if first_time:
            self.report.before = position.current
            log.info(
                "plan", command=self.report.command, current=position.current, target=self.destination, pending=pending
            )

    def _begin_revision(self, step: RevisionStep) -> None:
        assert self._connection is not None
        assert self._position is not None
        self.gate.check_lock()
        revision = step.revision.revision
        declaration = self.project.declaration(revision)
        if declaration.phase == "contract" and self.gate.settings.phase == "expand" and step.is_upgrade:
            raise ContractRefusedError(
                f"Revision {revision} is declared `contract`: pods of the previous release may not survive it, "
                "and this run may only expand.",
                remedy="Deploy it with the release after the one that stopped using what it takes away; or, once, with a reason: "
                "--phase all (SAGE_MIGRATE_PHASE, Helm: migration.phase) when those pods are gone.",
                facts={"revision": revision},
            )
        if step.is_upgrade and not declaration.is_open(datetime.now(UTC).time()):
            raise StallBudgetExceededError(
                f"Revision {revision} may stall the application, and is declared for its maintenance window alone "
                f"({declaration.window_text} UTC; {declaration.reason}).",
                remedy="Run this again in that window.",
                facts={"revision": revision},
            )
        self._tries = self._tries + 1 if self.report.revision == revision else 1
        self._revision_started = time.monotonic()
        self.report.revision = revision
        self._connection.begin_revision()
        self.gate.recorder.begin_revision(step.revision, declaration, version_table=self._position.table)
        self.gate.guard.stall_budget = declaration.budget(self.gate.settings.stall_budget)
        self.gate.may_leave = (
            declaration.online
            and step.is_upgrade
            and not self.gate.settings.online
            and not self._connection.is_external
        )
        declared = {"stall_budget_seconds": self.gate.guard.stall_budget, "reason": declaration.reason}
        log.info(
            "revision_started",
            revision=revision,
            description=step.revision.doc,
            phase=declaration.phase,
            attempt=self._tries,
            **(declared if declaration.reason else {}),
        )
        if declaration.backfill is not None and step.is_upgrade:
            # Not again before each try of a lock: that would take as long as the table is large.
            if self._place(revision) not in self._backfilled:
                self._run_backfill(revision, declaration.backfill)
                self.gate.check_lock()
                self._backfilled.add(self._place(revision))
            self._forget_mark(revision)

    def _run_backfill(self, revision: str, declared: Backfill) -> None:
        """Set the rows that the revision declares, on a session of the gate's own, before the revision's transaction begins."""
        from sage_migrate.backfill import BackfillRun, deadline_error

        assert self._connection is not None
        assert self._position is not None
        assert self.gate.connect is not None
        if self._connection.is_external:
            raise MigrationFailedError(
                f"Revision {revision} declares a backfill, and env.py began a transaction around all revisions: batches that are "
                "committed beside it would not see what it did.",
                remedy="Call context.configure() before anything that begins a transaction.",
                facts={"revision": revision},
            )
        search_path = self._connection.search_path()
        self._connection.end_what_nothing_needs()
        session = self.gate.connect_session(self.gate.connect, "sage-migrate backfill")
        # The names of what is declared mean what they mean in env.py's session, or in the tenant's.
        self.gate.call(session.fetch(set_config_sql({"search_path": search_path})))
        (row,) = self.gate.call(
            session.fetch("SELECT pid, backend_start::text AS start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        )
        backend = MigrationBackend(pid=row["pid"], backend_start=row["start"] or "")
        run = BackfillRun(
            self.gate,
            session,
            backend,
            revision=revision,
            declared=declared,
            version_table=self._position.table if self._position.may_comment else None,
            lineage=self._position.lineage,
            script_directory=Path(self.project.script.dir).resolve(),
        )
        self.gate.expect_deadline_error(deadline_error(run, declared, revision, command=self.report.command))
        self.gate.watch_backend(backend, says_progress=True)
        try:
            self.gate.call(run.run())
        finally:
            self.report.backfilled_rows = run.mark.rows
            self._move_to(replace(self._position, lineage=run.lineage))
            self.gate.watch_backend(self._connection.backend)
            self.gate.call_at_the_end(session.close())
        self.gate.expect_deadline_error(None)

    def _forget_mark(self, revision: str) -> None:
        """Let the revision's transaction take the note of its backfill away."""
        assert self._position is not None
        before = self._position.lineage
        done = before.with_backfill(revision, None)
        is_stale = self._position.lineage_is_stale or done != before
        self._move_to(replace(self._position, lineage=done, lineage_is_stale=is_stale))

    def _follows_what_is_left(self, step: RevisionStep) -> bool:
        """Tell whether a step cannot be taken, because this run leaves the revision or one before it."""
        if not self._left:
            return False
        revision = step.revision.revision
        before = [each for each in sorted(self.project.ancestors([revision])) if self._is_left(each)]
        if before and revision not in before:
            self._note_left(revision, f"follows {', '.join(before)}")
        return bool(before)

    def _is_left(self, revision: str) -> bool:
        return self._place(revision) in self._left

    def _place(self, revision: str) -> tuple[str, LockedDatabase | None, str]:
        assert self._position is not None
        return revision, self.gate.database, self._position.table

    def _left_by(self, error: Exception) -> OnlineLeftError | None:
        """Return why the revision at work is left after ``error``; None where it is not."""
        if not self.gate.may_leave or self._connection is None or self.gate.interruption.error is not None:
            return None
        for each in chain(error):
            if isinstance(each, OnlineLeftError):
                return each
        if not self._connection.ran_out_of_time(sqlstate_of(error)) or self.gate.guard.cancelled_in_queue:
            return None
        self._note_estimate()
        return OnlineLeftError("is not done, and the deadline is near")

    def _leave(self, left: OnlineLeftError) -> None:
        """Go on without the online revision at work.

        Raises:
            GateError: a revision after it is for this release.
        """
        revision = self.report.revision
        assert revision is not None
        needing = [
            each
            for each in self._plan
            if revision in self.project.ancestors([each]) and not self.project.declaration(each).online
        ]
        if needing:
            contracts = tuple(each for each in needing if self.project.declaration(each).phase == "contract")
            raise still_needed(
                revision, left, needing=tuple(needing), contracts=contracts, command=self.report.command
            ) from left
        self.report.revision, self.report.backfilled_rows = None, 0
        self.gate.recorder.end_revision()
        self.gate.may_leave = False
        self.gate.expect_deadline_error(None)
        self._note_left(revision, left.why)

    def _note_left(self, revision: str, why: str) -> None:
        self._left.add(self._place(revision))
        self.report.left.append(revision)
        log.warning(
            "online_left",
            revision=revision,
            reason=f"{revision} {why}",
            remedy=f"sage-migrate {self.report.command} --online",
        )

    def _end_revision(self) -> None:
        assert self._connection is not None
        assert self.report.revision is not None
        self._connection.commit_below()
        if self._connection.commit_what_is_left():
            # The revision ended Alembic's transaction by a commit() of its own: the version row was in the next one.
            log.warning("revision_committed_itself", revision=self.report.revision)
        self._connection.end_revision()
        self.gate.recorder.end_revision()
        self._note_applied()

    def _note_applied(self) -> None:
        assert self.report.revision is not None
        seconds = round(time.monotonic() - self._revision_started, 3)
        self.report.applied.append(
            RevisionResult(revision=self.report.revision, duration_seconds=seconds, tries=self._tries)
        )
        event = "revision_reverted" if self.report.is_downgrade else "revision_applied"
        external = {"committed": False} if self._connection is not None and self._connection.is_external else {}
        log.info(event, revision=self.report.revision, duration_seconds=seconds, tries=self._tries, **external)
        self.report.revision, self.report.backfilled_rows, self._tries = None, 0, 0
        self.gate.expect_deadline_error(None)

    def _record_lineage(self, context: MigrationContext) -> None:
        """Write what this image knows beside the version table, in the transaction that is open."""
        assert self._position is not None
        assert context.connection is not None
        lineage = self._position.lineage.merge(self._known())
        if self._position.may_comment:
            comment = quote_literal(lineage.to_comment())
            context.connection.exec_driver_sql(
                f"COMMENT ON TABLE {self._position.table} IS {comment}".replace("%", "%%")
            )
        else:
            log.warning(
                "lineage_not_recorded", remedy=f"ALTER TABLE {self._position.table} OWNER TO the migrating role"
            )
        self._move_to(self._position.recorded(lineage))

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

    # Tries and ends

    def _can_try_again(self, error: BaseException) -> bool:
        """Tell whether a lock was not to be had, and nothing of the revision at work, if any, is committed."""
        sqlstate = sqlstate_of(error)
        return (
            (sqlstate in RETRYABLE or (sqlstate == QUERY_CANCELED and self.gate.guard.cancelled_in_queue))
            and self.gate.interruption.error is None
            and self._connection is not None
            and not (self.report.revision and self._connection.partly_committed)
        )

    def _is_envs_to_repeat(self) -> bool:
        """Tell whether nothing but env.py, from its start, can make a try: a rollback undoes what it did, or it did not get so far.

        Many lock the version table first, which a pod of the release before may be doing too; or set search_path, without
        which the next try would find other tables.
        """
        connection = self._connection
        return (
            connection is None or connection.is_external or connection.holds_work_of_env or self.report.revision is None
        )

    def _may_begin_again(self, error: BaseException) -> bool:
        """Tell whether env.py may be run again: its one transaction failed, or a lock of its own was not to be had."""
        return self._is_envs_to_repeat() and self._refusal is None and self._can_try_again(error)

    def _wait_for_next_try(self, error: BaseException) -> None:
        assert self._connection is not None
        assert self.gate.watch is not None
        if self.report.revision is None:
            self._tries += 1
        sqlstate = sqlstate_of(error) or LOCK_NOT_AVAILABLE
        revision, tries, literals = self.report.revision, self._tries, self.gate.settings.show_literals
        blockers = self.gate.guard.take_blockers()
        described: list[dict[str, object]] = []
        statement = shorten_sql(self._connection.backend.statement, literals=literals)
        self.gate.expect_deadline_error(
            lambda: lock_not_obtained(revision, statement, blockers, described, sqlstate=sqlstate, tries=tries)
        )
        described = self.gate.look(describe_blockers(self.gate.watch, blockers, show_literals=literals))
        self.gate.recorder.try_failed(sqlstate, described)
        log.info(
            "lock_try_failed",
            revision=revision,
            tries=tries,
            sqlstate=sqlstate,
            statement=statement,
            blockers=described,
        )
        with self._connection.standing_aside():
            self.gate.look(
                wait_for_blockers(self.gate.watch, blockers, self.gate.settings, revision=revision, tries=tries)
            )

    def _is_waiting_for_database(self, failure: GateError, started: float) -> bool:
        """Tell whether env.py could not connect, which waiting may heal: it is not up yet, or has no place left."""
        waited = time.monotonic() - started
        return isinstance(failure, DatabaseUnreachableError) and waited < self.gate.settings.wait_timeout

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Remember a refusal that is raised through env.py, which may swallow or wrap it."""
        try:
            yield
        except GateError as error:
            self._refusal = error
            raise

    def _failure(self, error: BaseException) -> GateError:
        connection, settings = self._connection, self.gate.settings
        if connection is not None:
            self.report.partly_committed = connection.partly_committed
            self.report.left_unfinished = connection.left_unfinished
            if connection.backend.committing or connection.is_external:
                self._settle(connection)
        if self.gate.interruption.error is None and self._refusal is not None:
            return self._refusal
        explained = explain(
            error,
            Circumstances(
                revision=self.report.revision,
                statement=connection.backend.statement if connection else "",
                statement_seconds=time.monotonic() - connection.backend.started if connection else 0.0,
                statement_timeout=connection.statement_timeout if connection else settings.statement_timeout,
                connected=connection is not None,
                script_directory=Path(self.project.script.dir).resolve(),
                show_literals=settings.show_literals,
                idle_seconds=connection.idle_seconds if connection else 0.0,
                idle_timeout=settings.idle_timeout,
            ),
        )
        stopped = self.gate.interruption.error
        if stopped is None or (isinstance(stopped, ConnectionLostError) and isinstance(explained, ConnectionLostError)):
            return explained  # where all sessions broke, the migration's is the one to tell of
        return self._broken_off_build() or stopped

    def _settle(self, connection: MigrationConnection) -> None:
        """Find out from the version table, on a new connection, what became of the last transaction."""
        assert self._position is not None
        committing = connection.backend.committing
        try:
            found = self.gate.call_at_the_end(self._read_versions(connection.backend))
        except Exception as error:  # noqa: BLE001  any driver's
            if committing:  # it stays unknown, and the report says so
                log.error("commit_outcome_unknown", revision=self.report.revision, reason=type(error).__name__)
                self.report.commit_unknown = True
            found = self.report.before
        else:
            if committing:
                committed = found == self._position.current
                log.warning("commit_outcome", revision=self.report.revision, committed=committed)
                if committed and self.report.revision is not None:
                    self._note_applied()
        if connection.is_external:  # one transaction took all revisions with it, or none
            kept = self.project.ancestors(found)
            self.report.applied = [
                each for each in self.report.applied if (each.revision in kept) != self.report.is_downgrade
            ]

    async def _read_versions(self, backend: MigrationBackend) -> tuple[str, ...]:
        """Read the version table once the migration's transaction has ended, on a server that takes changes."""
        assert self._position is not None
        assert self.gate.connect is not None
        async with asyncio.timeout(_SETTLE_SECONDS):
            while True:
                session = await wait_for_database(
                    self.gate.connect, "sage-migrate settle", wait_timeout=_SETTLE_SECONDS
                )
                try:
                    # A server that lost its client may still be at work on the COMMIT.
                    (row,) = await session.fetch(
                        "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_locks"  # noqa: S608  an integer
                        f" WHERE pid = {backend.pid} AND locktype = 'transactionid' AND granted) AS unsettled"
                    )
                    if not row["unsettled"]:
                        return await read_versions(session, self._position.table)
                finally:
                    await session.close()
                await wait_a_moment()

    def _has_exited_when_done(self, error: BaseException) -> bool:
        """Tell whether env.py ended itself by ``sys.exit()``, or ``sys.exit(0)``, with no revision at work."""
        is_success = isinstance(error, SystemExit) and not error.code
        return is_success and self._position is not None and self._raised is None and self.report.revision is None

    def _broken_off_build(self) -> GateError | None:
        """Return what to say of an index whose build met the deadline."""
        if not isinstance(self.gate.interruption.error, DeadlineExceededError):
            return None
        seconds = self._note_estimate()
        if seconds is None or self._connection is None:
            return None
        return too_long(named_index(self._connection.backend.statement), seconds, 0, begun=True)

    def _note_estimate(self) -> float | None:
        """Note on an index whose build is broken off how long it takes, so that the next run does not begin again."""
        backend = self._connection.backend if self._connection else None
        if backend is None or backend.progress is None or backend.estimated_seconds is None or self.gate.watch is None:
            return None
        note = note_estimate_sql(backend.statement, backend.estimated_seconds)
        if note is None:
            return None
        with contextlib.suppress(Exception):  # a note that could not be written changes nothing of this run's end
            self.gate.call_at_the_end(self.gate.watch.fetch(note))
        return backend.estimated_seconds

    def _ended(self) -> Position:
        """Refuse an end without an error that left work undone."""
        self.gate.interruption.check()
        if self._refusal is not None:
            raise self._refusal
        if self._position is None:
            raise _never_ran()
        if self._raised is not None:
            log.warning("error_swallowed_by_env", remedy="let env.py re-raise what it catches")
            raise self._failure(self._raised) from self._raised
        return self._position


def _never_ran() -> EndedShortError:
    return EndedShortError(
        "env.py returned without running any migration: it did not call context.run_migrations() on a connection.",
        remedy="See what env.py decides on before that (a variable, an argument), and set it for the runner.",
    )
