"""Run the project's own env.py up to its migrations, on connections that can change nothing, and look from inside.

Every connection that any engine of this process makes is set to read-only transactions before env.py has it. Where a
pooler stands in between, a session's settings would stay behind for the application: nothing is set there, and the
connection is refused.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import Pool

from sage_migrate.doctor.check import Configured
from sage_migrate.errors import EndedShortError, GateError, ReadOnlyTargetError
from sage_migrate.failures import Circumstances, chain, explain
from sage_migrate.gate import Gate
from sage_migrate.interruption import Interruption
from sage_migrate.project import Project, offer_url
from sage_migrate.session import Session, open_by_url, quote_identifier, set_config_sql
from sage_migrate.settings import Settings

Look = Callable[[Connection, MigrationContext, tuple[str, ...], tuple[Any, ...]], None]

_ANSWER_SECONDS = 5.0
_READ_ONLY = {"default_transaction_read_only": "on", "statement_timeout": "30s", "lock_timeout": "1s"}
# What many env.py files do first. It would fail where transactions are read-only, also when there is nothing to make.
_MAKES_IF_ABSENT = re.compile(r"\s*CREATE\s+(?:SCHEMA|EXTENSION)\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE)


class BehindPoolerError(Exception):
    """The server process that answers is another one than was promised at connect."""


class WritesError(Exception):
    """env.py wants to change something before it migrates."""


class LookingEnvironment(EnvironmentContext):
    """Alembic's environment, with an eye on how env.py configures it."""

    def __init__(self, seen: list[Configured], *args: Any, **options: Any) -> None:
        """Note in ``seen``."""
        self._seen = seen
        super().__init__(*args, **options)

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Note what is asked for, and pass it on."""
        if connection is not None:
            metadata = options.get("target_metadata")
            several = metadata if isinstance(metadata, list | tuple) else [metadata]
            self._seen.append(
                Configured(
                    database=connection.engine.url.database or "",
                    is_external=bool(connection.in_transaction()),
                    per_migration=bool(options.get("transaction_per_migration")),
                    metadata=tuple(each for each in several if each is not None),
                )
            )
        super().configure(connection, *args, **options)


# The proxy that makes `alembic.context` is registered by exact class.
EnvironmentContext._setups[LookingEnvironment] = EnvironmentContext._setups[EnvironmentContext]  # noqa: SLF001


def run_env(settings: Settings, project: Project, look: Look) -> tuple[Configured, ...]:
    """Run env.py and call ``look`` where it would migrate; return how it configured Alembic.

    Raises:
        GateError: no database could be reached, or env.py failed.
        BehindPoolerError: env.py connects through a pooler.
        WritesError: env.py changes the database before it migrates.
    """
    if settings.database_url is not None:
        _knock(settings)
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(int(_ANSWER_SECONDS)))
    offer_url(settings, project)
    seen: list[Configured] = []
    environment = LookingEnvironment(
        seen,
        project.config,
        project.script,
        fn=lambda heads, context: _look(settings, look, seen, heads, context),
        dont_mutate=True,
        destination_rev="heads",
    )
    # What env.py prints has no place in the answer.
    try:
        with _read_only(), contextlib.redirect_stdout(sys.stderr), environment:
            project.run_env()
    except (Exception, SystemExit) as error:
        for each in chain(error):
            if isinstance(each, BehindPoolerError):
                raise each from error
        failure = _explain(settings, project, error)
        if isinstance(failure, ReadOnlyTargetError):
            raise WritesError(failure.what) from error
        raise failure from error
    if not seen:
        msg = "env.py ended without calling context.configure() on a connection."
        raise EndedShortError(msg, remedy="See what it decides on before that (a variable, an argument).")
    return tuple(seen)


def _look(
    settings: Settings, look: Look, seen: list[Configured], heads: tuple[str, ...], context: MigrationContext
) -> list[Any]:
    connection = context.connection
    assert connection is not None
    if settings.role:
        connection.exec_driver_sql(f"SET ROLE {quote_identifier(settings.role)}")
    look(connection, context, tuple(sorted(heads)), seen[-1].metadata)
    return []


def _knock(settings: Settings) -> None:
    """See whether the database answers at all, sooner than a driver gives up."""
    brief = replace(settings, wait_timeout=min(settings.wait_timeout, _ANSWER_SECONDS))

    async def connect(application_name: str) -> Session:
        return await open_by_url(brief, application_name)

    with Gate(brief, Interruption()) as gate:
        gate.connect_session(connect, "sage-migrate doctor")


@contextlib.contextmanager
def _read_only() -> Iterator[None]:
    """Make every new connection of every engine read-only, before anybody else has it."""
    event.listen(Pool, "connect", _make_read_only)
    event.listen(Engine, "before_cursor_execute", _leave_out, retval=True)
    try:
        yield
    finally:
        event.remove(Pool, "connect", _make_read_only)
        event.remove(Engine, "before_cursor_execute", _leave_out)


def _make_read_only(dbapi_connection: Any, _record: Any) -> None:
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        promised = _promised_pid(dbapi_connection)
        if pid != promised:
            # The transaction that the driver began goes back to the pooler as it came.
            dbapi_connection.rollback()
            raise BehindPoolerError
        cursor.execute(set_config_sql(_READ_ONLY))
    finally:
        cursor.close()
    dbapi_connection.commit()


def _promised_pid(dbapi_connection: Any) -> int | None:
    """Return the process that the server named when it let the client in."""
    driver = getattr(dbapi_connection, "driver_connection", dbapi_connection)
    if hasattr(driver, "get_server_pid"):  # asyncpg
        return int(driver.get_server_pid())
    info = getattr(driver, "info", None)  # psycopg2, psycopg
    return None if info is None else int(info.backend_pid)


def _leave_out(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _executemany: Any
) -> tuple[str, Any]:
    return ("SELECT 1" if _MAKES_IF_ABSENT.match(statement) else statement), parameters


def _explain(settings: Settings, project: Project, error: BaseException) -> GateError:
    return explain(
        error,
        Circumstances(
            revision=None,
            statement="",
            statement_seconds=0.0,
            statement_timeout=settings.statement_timeout,
            connected=False,
            script_directory=Path(project.script.dir).resolve(),
            show_literals=settings.show_literals,
        ),
    )
