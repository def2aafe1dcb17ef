"""The connection that env.py hands to Alembic: proved to reach the lock's database, limited, and listened to.

Listeners go on this connection, so a second engine of a model or a revision is left alone; the one for errors, which SQLAlchemy
takes for an engine alone, heeds nothing but what this connection sent.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection

from sage_migrate.advisory_lock import holds_lock_sql
from sage_migrate.concurrent_ddl import blocks_nobody, check_result, prepare
from sage_migrate.durations import as_milliseconds, parse_duration
from sage_migrate.errors import UsageError, WrongDatabaseError
from sage_migrate.failures import LOCK_NOT_AVAILABLE, QUERY_CANCELED, server_message, sqlstate_of
from sage_migrate.gate import Gate, MigrationBackend
from sage_migrate.logs import log
from sage_migrate.online import OnlineLeftError, check_fits, estimate_statement
from sage_migrate.preflight.position import VersionTable
from sage_migrate.session import KEEPALIVE, quote_identifier, quote_literal, search_path_sql, set_config_sql

_OWN_TIMEOUT = re.compile(
    r"(?:^|;)\s*SET\s+(?:SESSION\s+|LOCAL\s+)?(lock_timeout|statement_timeout)\s*(?:=|\bTO\b)\s*'?([^';]*)",
    re.IGNORECASE | re.MULTILINE,
)
# What may end the run's limits for the revisions after it too; a dump that is a revision begins with a comment and with SET.
_TOUCHES_LIMITS = re.compile(
    r"(?:\bSET\s+(?:SESSION\s+|LOCAL\s+)?|\bRESET\s+|\bset_config\s*\(\s*')"
    r"(?:lock|statement|transaction|idle_in_transaction_session|idle_session)_timeout\b|\b(?:RESET|DISCARD)\s+ALL\b",
    re.IGNORECASE,
)
_NOWAIT = re.compile(r"\bNOWAIT\b", re.IGNORECASE)
_ABORTED = "25P02"
# The deadline itself stops a patient statement; the server's own limit is for a runner that cannot any more.
_BACKSTOP_SECONDS = 2.0
# An online run has the time, and the cores are the application's: no parallel workers, and none of the server's for what it reads.
_IN_ONE_PROCESS = {
    "max_parallel_maintenance_workers": "0",
    "effective_io_concurrency": "0",
    "maintenance_io_concurrency": "0",
}
# An index is logged as whole pages, and each COMMIT of the application waits until what was logged before it is written.
_COMPRESS_WAL = """DO $$BEGIN
    IF current_setting('wal_compression') = 'off' THEN PERFORM set_config('wal_compression', 'on', false); END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL;  -- a superuser's, or by GRANT SET ON PARAMETER
END$$"""
# What outlives the transaction of a revision, and so would meet the next tenant of a fleet.
_CHANGES_SESSION = re.compile(
    r"(?:^|;)\s*(?:SET(?!\s+LOCAL\b)|RESET|DISCARD|LISTEN|PREPARE|LOAD|DECLARE|CREATE\s+(?:GLOBAL\s+|LOCAL\s+)?TEMP)"
    r"|\b(?:set_config|pg_(?:try_)?advisory_lock)",
    re.IGNORECASE | re.MULTILINE,
)
# SQLAlchemy's dialect for asyncpg would not notice, and the statement for the version row is one for all revisions.
_FORGETS_PREPARED = re.compile(r"\b(?:DISCARD|DEALLOCATE)\b", re.IGNORECASE)
_FOR_ONE_TRANSACTION = re.compile(
    r"\s*SET\s+LOCAL\b|\s*SELECT\s.*\bset_config\s*\(.*\btrue\s*\)", re.IGNORECASE | re.DOTALL
)
ANY_TENANT = "sage_migrate_any_tenant"
"""A schema's name that stands for that of the tenant at hand, so that SQLAlchemy compiles for all what it compiles for one."""
# Settings, and what SQLAlchemy's inspector reads, change nothing and lock nothing that matters.
_LEAVES_NOTHING = re.compile(
    r"\s*(?:SET|RESET|SHOW)\b|\s*SELECT\b.*\bpg_catalog\.|\s*(?:BEGIN|COMMIT|END)(?:\s+(?:WORK|TRANSACTION))?\s*;?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)


class MigrationConnection:
    """env.py's connection under the gate's limits, with what is known of the transaction at work."""

    def __init__(self, gate: Gate, connection: Connection, *, is_for_many: bool = False) -> None:
        """Verify that ``connection`` reaches the lock's database, set its limits, and listen to it.

        One that ``is_for_many`` tenants is watched for what one would leave to the next.

        Raises:
            WrongDatabaseError: it reaches another database; nothing was changed there.
        """
        self._gate = gate
        self._connection = connection
        self._work = 0
        self.statements = 0
        """How many ran on it."""
        self._kept = 0
        """How many of them no rollback can undo."""
        self.holds_work_of_env = False
        """Whether a rollback undoes what env.py itself sent since `configure`, such as its SET search_path."""
        self._stamped = False
        self._own_timeouts = False
        self._is_patient = False
        self._was_ended_by_sql = False
        self._their_transaction: Any = None
        """The transaction that env.py began after `configure` and ends itself, below which each revision is committed."""
        self._is_between = False
        """Whether nothing was sent in it since a revision was committed, or rolled back, below it."""
        self._has_begun = False
        self._local_settings: list[tuple[str, Any]] = []
        """What env.py has set for the transaction that it took to be that of all revisions, with its parameters."""
        self._idle_since = time.monotonic()
        self.idle_seconds = 0.0
        """How long nothing had been sent before the last statement, or COMMIT."""
        self.statement_timeout = gate.settings.statement_timeout
        """Seconds that the statement at work may run, as far as the run knows."""
        self.partly_committed = False
        """Whether the revision at work has committed a part of itself (autocommit_block, a commit() of its own)."""
        self.left_unfinished = False
        """Whether it is in a statement that leaves something behind when it is broken off, such as an INVALID index."""
        self._is_for_many = is_for_many
        self._tenant = ""
        self.changed_session = False
        """Of one for many, whether a statement changed what outlives the revision's transaction: settings, temporary tables, locks."""
        self._limited: dict[tuple[str, str], tuple[Exception, float]] = {}
        """Statements of the revision at work that a limit of the gate ended, with their parameters; the error, when it began."""
        self.left: OnlineLeftError | None = None
        """Why the revision at work is left, although its code may have swallowed that."""
        self.is_external = bool(connection.in_transaction())
        """Whether env.py began a transaction before `configure`: then all revisions are in that one transaction."""
        self.backend = self._verify_database()
        self._set_limits()
        if self.is_external:
            log.warning(
                "external_transaction",
                effect="env.py began a transaction before context.configure(): all revisions are applied in that one "
                "transaction and their locks add up; limits, lock and guard hold all the same",
                remedy="call context.configure() before anything that begins a transaction",
            )
        self._listeners: Mapping[str, Callable[..., Any]] = {
            "before_cursor_execute": self._before_statement,
            "after_cursor_execute": self._after_statement,
            "commit": self._before_commit,
            "rollback": self._on_rollback,
        }
        for name, listener in self._listeners.items():
            event.listen(connection, name, listener, retval=name == "before_cursor_execute")
        event.listen(connection.engine, "handle_error", self._on_error)  # SQLAlchemy takes it for an engine alone

    def enter_schema(self, schema: str, version_table: str, *after: str) -> VersionTable | None:
        """Let unqualified names mean ``schema``, then those ``after`` it, and `ANY_TENANT` that one.

        Return its version table, which need not exist, and None where there is no such schema.
        What a driver has prepared for the tables of one schema must not meet those of another.
        """
        names = [quote_identifier(schema), quote_identifier(version_table)]
        # Planned anew for each schema: so no view, no function that the planner takes apart, and no join that it weighs.
        ((_, space, spelled, oid, comment, may_comment),) = self._execute_raw(
            f"{search_path_sql(schema, *after)}, to_regnamespace({quote_literal(names[0])})::oid,"
            f" quote_ident({quote_literal(schema)}) || '.' || quote_ident({quote_literal(version_table)}),"
            " class.oid, description, pg_has_role(relowner, 'USAGE') FROM (SELECT) AS asked"
            f" LEFT JOIN pg_class AS class ON class.oid = to_regclass({quote_literal('.'.join(names))})"
            " LEFT JOIN pg_description ON objoid = class.oid AND classoid = 'pg_class'::regclass AND objsubid = 0",
            keep=True,
        )
        dialect: Any = self._connection.dialect
        self._tenant = f"{dialect.identifier_preparer.quote_identifier(schema)}."
        dialect.default_schema_name = schema
        self._forget_prepared()
        driver: Any = self._connection.connection.driver_connection
        if hasattr(driver, "prepare_threshold"):  # psycopg's
            driver.prepare_threshold = None
        if space is None:
            return None
        return VersionTable(name=spelled, exists=oid is not None, comment=comment, may_comment=bool(may_comment))

    def _forget_prepared(self) -> None:
        """Let asyncpg's dialect prepare anew whatever it has prepared."""
        dialect: Any = self._connection.dialect
        if hasattr(dialect, "_invalidate_schema_cache"):
            dialect._invalidate_schema_cache()  # noqa: SLF001  as the dialect itself does after DDL

    def let_go(self, connection: Connection | None = None) -> bool:
        """Listen no more where env.py has ended, or configures the same ``connection`` again; tell whether nothing listens.

        It may configure one connection for each schema after the other.
        """
        if self._listeners and connection in (None, self._connection):
            for name, listener in self._listeners.items():
                event.remove(self._connection, name, listener)
            event.remove(self._connection.engine, "handle_error", self._on_error)
            self._listeners = {}
        return not self._listeners

    def goes_on_beside(self, connection: Connection) -> bool:
        """Tell whether env.py's own transaction stays open, with its locks, while it migrates ``connection``'s database."""
        return self.is_external and self._connection is not connection and bool(self._connection.in_transaction())

    def ran_out_of_time(self, sqlstate: str | None) -> bool:
        """Tell whether a statement that blocks nobody met the limit that was set for it."""
        elapsed = time.monotonic() - self.backend.started
        is_limit = sqlstate in (QUERY_CANCELED, LOCK_NOT_AVAILABLE)
        return self._is_patient and is_limit and elapsed >= 0.95 * self.statement_timeout

    def begin_revision(self) -> None:
        """Forget the revision before; set the limits again where it had set its own."""
        if self._own_timeouts:
            self._set_limits()
        self.left = None
        self._limited.clear()
        self._work, self._stamped, self.partly_committed, self.left_unfinished = 0, False, False, False
        self.backend.committing = False
        self._idle_since = time.monotonic()

    @contextlib.contextmanager
    def standing_aside(self) -> Iterator[None]:
        """Let the guard rest meanwhile, unless a transaction is open in which locks are held."""
        self.backend.stands_aside = not self._is_in_transaction()
        try:
            yield
        finally:
            self.backend.stands_aside = False

    def mark_stamped(self) -> None:
        """Note that the version row is written: the next commit makes the revision durable.

        A revision that went on without what a limit of the gate ended is not done: bare Alembic would have waited.
        """
        if self.left is not None:
            raise self.left
        if self._limited:
            raise self._first_limited()
        self._stamped = True
        self._gate.interruption.check()

    def end_revision(self) -> None:
        """Note that the revision's transaction has ended."""
        self.backend.committing = False

    def commit_what_is_left(self) -> bool:
        """Commit what no revision's transaction holds, as bare Alembic's own outer transaction would have done."""
        if self.is_external or not self._is_in_transaction():
            return False
        if self._is_below():
            self.commit_below()
            return False
        transaction = self._connection.get_transaction()
        if transaction is not None:
            transaction.commit()
        return True

    def begin_run(self) -> None:
        """Note what env.py has sent before the first revision."""
        self.holds_work_of_env = self.statements > self._kept
        self._has_begun = True

    def repeat_local_settings(self) -> None:
        """Set for the transaction that begins what env.py has set for the one that was to be that of all revisions."""
        for statement, parameters in self._local_settings:
            self._fetch_raw(statement, parameters)

    def stay_below_transaction(self) -> None:
        """Let a transaction that was begun since `configure` stay open for SQLAlchemy, and so for env.py.

        To SQLAlchemy a transaction is a word for what a driver begins with the next statement. So the driver can end it
        after each revision, and `commit()` or `rollback()` by env.py finds nothing more to do.
        """
        if not self.is_external:
            self._their_transaction = self._connection.get_transaction()

    def commit_below(self) -> None:
        """Commit the revision at work where it is in env.py's own transaction."""
        if self._is_below() and not self._is_between:
            self._before_commit(self._connection)
            self._connection.connection.commit()
            self._is_between = True

    def roll_back_what_is_left(self) -> None:
        """Roll the failed try back where it was in env.py's own transaction, or in one that is nobody's.

        Where a revision had ended Alembic's transaction or env.py's, what it did next was in one that neither knows.
        """
        if self.is_external or not self._is_in_transaction():
            return
        if self._is_below():
            self._connection.connection.rollback()
            self._on_rollback(self._connection)
            self._is_between = True
        elif (transaction := self._connection.get_transaction()) is not None:
            transaction.rollback()

    def _is_below(self) -> bool:
        return self._their_transaction is not None and self._connection.get_transaction() is self._their_transaction

    def _is_in_transaction(self) -> bool:
        return bool(self._connection.in_transaction()) and not self._is_between

    def search_path(self) -> str:
        """Return where the session looks for unqualified names."""
        ((path,),) = self._execute_raw("SELECT current_setting('search_path')")
        return str(path)

    def end_what_nothing_needs(self) -> None:
        """End the transaction in which Alembic read the version table: it must not idle while something else is done."""
        if not self.commit_what_is_left():
            self._execute_raw("SELECT 1")  # which ends what the driver alone began

    def _verify_database(self) -> MigrationBackend:
        ours = holds_lock_sql(self._gate.lock_pid, self._gate.lock_token)
        # Nothing ends what the driver began before: a listener of env.py's engine may have set search_path in it.
        (found,) = self._fetch_raw(
            f"SELECT pg_backend_pid(), {ours}, current_database(), coalesce(host(inet_server_addr()), 'a socket'),"  # noqa: S608  integers
            " coalesce(inet_server_port(), 0), (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())"
        )
        pid, same, database, address, port, backend_start = found
        if not same:
            locked = self._gate.settings.database_url or "another database"
            raise WrongDatabaseError(
                f"env.py connects to database {database} at {address} port {port}; the runner holds its lock in {locked}.",
                remedy="Let env.py take its URL from sqlalchemy.url or DATABASE_URL, which the runner sets, or give the runner "
                "env.py's URL in SAGE_MIGRATE_DATABASE_URL.",
            )
        return MigrationBackend(pid=pid, backend_start=backend_start or "")

    def _set_limits(self) -> None:
        settings = self._gate.settings
        limits = {
            **KEEPALIVE,
            "lock_timeout": as_milliseconds(settings.lock_timeout),
            "statement_timeout": as_milliseconds(settings.statement_timeout),
            # A runner that died must not leave its statement running, nor its transaction open.
            "client_connection_check_interval": "500ms",
            "idle_in_transaction_session_timeout": as_milliseconds(settings.idle_timeout),
            "idle_session_timeout": "0",  # between two tries it idles, for as long as a reader stays
            "transaction_timeout": as_milliseconds(settings.deadline),
        }
        if settings.online:
            limits |= _IN_ONE_PROCESS
            self._execute_raw(_COMPRESS_WAL, keep=True)
        self._execute_raw(set_config_sql(limits), keep=True)
        self._own_timeouts, self.statement_timeout = False, settings.statement_timeout
        if settings.role:
            try:
                self._execute_raw(f"SET ROLE {quote_identifier(settings.role)}", keep=True)
            except Exception as error:
                raise UsageError(
                    f"The role {settings.role} cannot be taken: {server_message(error)}.",
                    remedy="Create it, or GRANT it to the role that connects; --role (SAGE_MIGRATE_ROLE) names it.",
                ) from error

    def _execute_raw(self, sql: str, *, keep: bool = False) -> list[tuple[Any, ...]]:
        """Run ``sql`` below SQLAlchemy, which would begin a transaction that Alembic then takes for external.

        ``keep`` commits, so that a setting outlives the transaction that the driver began for it.
        """
        rows = self._fetch_raw(sql)
        if not self._is_in_transaction():
            driver = self._connection.connection
            driver.commit() if keep else driver.rollback()
            self._kept = self.statements
        return rows

    def _fetch_raw(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor: Any = self._connection.connection.cursor()
        try:
            # What asyncpg has prepared may be gone; SQLAlchemy says so to the cursors that it executes by itself.
            if hasattr(cursor, "_invalidate_schema_cache_asof"):
                dialect: Any = self._connection.dialect
                cursor._invalidate_schema_cache_asof = dialect._invalidate_schema_cache_asof  # noqa: SLF001
            cursor.execute(sql, *parameters)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def _before_statement(
        self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        self._gate.interruption.check()
        if self._tenant:
            statement = statement.replace(f"{ANY_TENANT}.", self._tenant)
        self.idle_seconds = time.monotonic() - self._idle_since
        if self._is_patient and self._is_autocommit():
            self._set_limits()  # the statement before failed, and the revision went on
        self._is_patient = self.left_unfinished = self._is_between = False
        if _TOUCHES_LIMITS.search(statement):
            self._own_timeouts = True
            for own in _OWN_TIMEOUT.finditer(statement):
                log.info("timeout_set_by_revision", setting=own[1].lower(), value=own[2].strip())
                if own[1].lower() == "statement_timeout":
                    self.statement_timeout = _seconds(own[2])
        elif blocks_nobody(statement) and not self._holds_locks():
            statement = self._be_patient(statement)
        elif self._gate.may_leave and self._is_autocommit():  # a loop of batches, which ends between two of them
            self._check_fits(statement, self._gate.remaining_for_online())
        if self._is_for_many and _CHANGES_SESSION.search(statement):
            self.changed_session = True
        self.backend.begin(statement)
        self._gate.recorder.begin_statement(statement)
        return statement, parameters

    def _after_statement(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.backend.running = self.left_unfinished = False
        if self._limited:
            self._limited.pop((statement, repr(parameters)), None)
        self._idle_since = time.monotonic()
        self.statements += 1
        is_committed = self._is_committed()
        if is_committed:
            self._kept = self.statements
        elif not self._has_begun and not self.is_external:
            self._note_local_setting(statement, parameters)
        # A revision's own COMMIT: driver and SQLAlchemy know nothing of it, and what follows is committed by itself.
        self._was_ended_by_sql = is_committed and not self._has_autocommit()
        if not _LEAVES_NOTHING.match(statement):
            self._work += 1
        if _FORGETS_PREPARED.search(statement):
            self._forget_prepared()
        self.partly_committed = self.partly_committed or (is_committed and self._work > 0 and not self._stamped)
        self._gate.recorder.end_statement(self._gate)
        if self._is_patient:
            self._is_patient = False
            self._set_limits()
        check_result(statement, self._execute_raw)

    def _note_local_setting(self, statement: str, parameters: Any) -> None:
        is_the_gates = self._is_for_many or _TOUCHES_LIMITS.search(statement)
        if not is_the_gates and _FOR_ONE_TRANSACTION.match(statement):
            self._local_settings.append((statement, parameters))

    def _on_error(self, context: Any) -> Exception | None:
        """Note an error that a limit of the gate caused; raise it again for what fails because the revision swallowed it."""
        if not self.backend.running or context.statement != self.backend.statement:
            return None  # another connection's
        sqlstate = sqlstate_of(context.original_exception)
        if sqlstate == _ABORTED and self._limited:
            return self._first_limited()
        is_own = (self._own_timeouts and not self._is_patient) or _NOWAIT.search(self.backend.statement)
        is_queue = sqlstate == QUERY_CANCELED and self._gate.guard.cancelled_in_queue
        if is_queue or (sqlstate in (LOCK_NOT_AVAILABLE, QUERY_CANCELED) and not is_own):
            error = context.sqlalchemy_exception or context.original_exception
            self._limited[self.backend.statement, repr(context.parameters)] = error, self.backend.started
        return None

    def _first_limited(self) -> Exception:
        (self.backend.statement, _), (error, self.backend.started) = next(iter(self._limited.items()))
        return error

    def _be_patient(self, statement: str) -> str:
        """Give a statement that blocks nobody what is left of the deadline, and the guard stays on."""
        remaining, backstop = self._gate.remaining(), _BACKSTOP_SECONDS
        if self._gate.may_leave:
            remaining, backstop = self._gate.remaining_for_online(), 0.0
            self._check_fits(statement, remaining)
        if not self._own_timeouts:
            limit = as_milliseconds(remaining + backstop)
            self._execute_raw(set_config_sql({"lock_timeout": limit, "statement_timeout": limit}))
            self._is_patient, self._own_timeouts, self.statement_timeout = True, True, remaining
        self.left_unfinished = self._is_autocommit()
        return prepare(
            statement, self._execute_raw, remaining_seconds=remaining, in_transaction=not self._is_autocommit()
        )

    def _check_fits(self, statement: str, seconds: float) -> None:
        try:
            check_fits(estimate_statement(statement, self._execute_raw), seconds)
        except OnlineLeftError as error:
            self.left = error
            raise

    def _holds_locks(self) -> bool:
        """Tell whether the transaction may hold locks of statements before: those would be held all along."""
        return (self._work > 0 or self.is_external) and not self._is_autocommit()

    def _is_autocommit(self) -> bool:
        return self._was_ended_by_sql or self._has_autocommit()

    def _has_autocommit(self) -> bool:
        return bool(getattr(self._connection.connection, "autocommit", False))

    def _is_committed(self) -> bool:
        """Tell whether the last statement has left no transaction open, as far as the driver hands on what the server says."""
        driver: Any = getattr(self._connection.connection, "driver_connection", None)
        info = getattr(driver, "info", None)  # that of psycopg2, and of psycopg
        if info is not None:
            return not info.transaction_status
        if hasattr(driver, "is_in_transaction"):  # asyncpg's
            return not driver.is_in_transaction()
        return self._has_autocommit()

    def _before_commit(self, _connection: Connection) -> None:
        self._gate.interruption.check()
        self.idle_seconds = time.monotonic() - self._idle_since
        self.backend.running, self.backend.committing = False, self._stamped
        self._gate.recorder.commit_sent(self._gate)
        if self._work and not self._stamped:
            self.partly_committed = True
        self._was_ended_by_sql = self.holds_work_of_env = False
        self._kept = self.statements

    def _on_rollback(self, _connection: Connection) -> None:
        self._work = 0
        self._kept = self.statements
        self._was_ended_by_sql = False
        self.backend.running = False
        self._gate.recorder.rolled_back()


def _seconds(text: str) -> float:
    """Return the value of a PostgreSQL timeout in seconds; a bare number is in milliseconds, 0 means none."""
    value = text.strip()
    if value.isdigit():
        return int(value) / 1000 or float("inf")
    try:
        return parse_duration(value)
    except ValueError:
        return float("inf")
