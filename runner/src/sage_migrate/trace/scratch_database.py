"""A database of the trace's own, on an embedded server or a given one, and the proof that a connection reaches it."""

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.pool import Pool

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.errors import UsageError
from sage_migrate.session import ControlThread, quote_identifier

T = TypeVar("T")
Row = asyncpg.Record
# A revision that waits for a lock of its own other connection would wait for ever.
_LOCK_TIMEOUT = "10s"
_FILES = ("sqlite3", "aiosqlite", "sqlalchemy.dialects.sqlite")


class NotScratchError(UsageError):
    """Somebody connects to a database that is not proved to be the trace's own."""


class ScratchSession:
    """A session in the scratch database, driven from the main thread by a loop in another one."""

    def __init__(self, control: ControlThread, connection: "asyncpg.Connection[Row]") -> None:
        """Take over an open connection."""
        self._control, self._connection = control, connection

    def rows(self, sql: str, *arguments: object) -> list[Row]:
        """Return what a query returns."""
        return self._control.call(self._connection.fetch(sql, *arguments))

    def value(self, sql: str, *arguments: object) -> Any:
        """Return the one value of a query."""
        return self._control.call(self._connection.fetchval(sql, *arguments))

    def run(self, sql: str) -> str:
        """Run statements as one string; return the tag of the last."""
        return self._control.call(self._connection.execute(sql))

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the session's loop."""
        return self._control.call(work)

    @property
    def connection(self) -> "asyncpg.Connection[Row]":
        """The connection, for what runs on its loop."""
        return self._connection

    @property
    def process(self) -> int:
        """The server's process."""
        return self._connection.get_server_pid()

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            self._control.call(self._connection.close(timeout=2))


@dataclass(kw_only=True)
class ScratchDatabase:
    """A database that nobody else uses."""

    url: DatabaseURL
    admin: ScratchSession
    """In another database of the server."""
    session: ScratchSession
    token: tuple[int, int]
    """The advisory lock that ``session`` holds, and which only this database can show."""
    control: ControlThread

    @property
    def server_version(self) -> str:
        """PostgreSQL's version, without the packager's addition."""
        return str(self.session.value("SHOW server_version")).split(" ")[0]

    def connect(self) -> ScratchSession:
        """Open another session."""
        return ScratchSession(self.control, self.control.call(_connect(self.url)))

    def copy_as(self, name: str) -> None:
        """Copy the database as it is; nobody may be connected meanwhile, so the own session is another afterwards."""
        self.session.close()
        self.admin.run(f"CREATE DATABASE {quote_identifier(name)} TEMPLATE {quote_identifier(self.url.database)}")
        self.session = _open(self.control, self.url, self.token)

    def proof_sql(self) -> str:
        """Return a query that is true in this database and in no other."""
        first, second = self.token
        return (
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"  # noqa: S608  integers
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            f" AND classid = {first} AND objid = {second} AND objsubid = 2)"
        )


@contextlib.contextmanager
def scratch_database(server: DatabaseURL, *, template: str | None = None) -> Iterator[ScratchDatabase]:
    """Make a database with a random name on ``server``, and drop it and nothing else afterwards.

    Raises:
        UsageError: the server cannot be reached, or the role may not create databases.
    """
    name = f"sage_trace_{secrets.token_hex(8)}"
    url = _with_database(server, name)
    with ControlThread() as control:
        try:
            admin = ScratchSession(control, control.call(_connect(server)))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"The scratch server {server} cannot be used: {error or type(error).__name__}.",
                remedy="--scratch-url names a PostgreSQL on which the role may create databases; without it, an embedded one runs.",
            ) from error
        try:
            copied = f" TEMPLATE {quote_identifier(template)}" if template else ""
            try:
                admin.run(f"CREATE DATABASE {quote_identifier(name)}{copied}")
            except asyncpg.PostgresError as error:
                raise UsageError(
                    f"No scratch database could be made on {server}: {error}.",
                    remedy="Give the role CREATEDB, or name another server by --scratch-url.",
                ) from error
            try:
                admin.run(f"ALTER DATABASE {quote_identifier(name)} SET lock_timeout = '{_LOCK_TIMEOUT}'")
                token = (secrets.randbelow(2**31), secrets.randbelow(2**31))
                session = _open(control, url, token)
                database = ScratchDatabase(url=url, admin=admin, session=session, token=token, control=control)
                try:
                    yield database
                finally:
                    database.session.close()
            finally:
                admin.run(f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)")
        finally:
            admin.close()


@contextlib.contextmanager
def only_scratch_connections(database: ScratchDatabase) -> Iterator[list[NotScratchError]]:
    """Refuse every connection that an engine of SQLAlchemy makes elsewhere, before anything is sent; yield the refusals."""
    refusals: list[NotScratchError] = []

    def prove(dbapi_connection: Any, _record: object) -> None:
        if type(dbapi_connection).__module__.startswith(_FILES):
            return
        if not _proved(dbapi_connection, database.proof_sql()):
            refusals.append(
                NotScratchError(
                    "A connection reaches a database that is not the trace's own: nothing was sent to it, and nothing was traced.",
                    remedy="Let env.py take its database from DATABASE_URL, PGHOST … or sqlalchemy.url, which trace sets; or name the "
                    'variables that it reads: [tool.sage-migrate.trace] environment = { NAME = "{url}" }.',
                )
            )
            raise refusals[-1]

    event.listen(Pool, "connect", prove)
    try:
        yield refusals
    finally:
        event.remove(Pool, "connect", prove)


def _proved(dbapi_connection: Any, sql: str) -> bool:
    try:
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute(sql)
            return bool(cursor.fetchall()[0][0])
        finally:
            cursor.close()
            dbapi_connection.rollback()
    except Exception:  # noqa: BLE001  any driver's, of a server that knows no advisory locks
        return False


def _open(control: ControlThread, url: DatabaseURL, token: tuple[int, int]) -> ScratchSession:
    session = ScratchSession(control, control.call(_connect(url)))
    session.rows("SELECT pg_advisory_lock($1::int4, $2::int4)", *token)
    return session


def _with_database(server: DatabaseURL, name: str) -> DatabaseURL:
    from dataclasses import replace

    return parse_database_url(replace(server, database=name).with_driver(server.driver))


async def _connect(url: DatabaseURL) -> "asyncpg.Connection[Row]":
    async with asyncio.timeout(30):
        return await asyncpg.connect(**url.asyncpg_arguments(), timeout=20)
