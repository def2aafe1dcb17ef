"""The gate's own sessions: short statements in autocommit, beside the migration's connection.

They are driven by an event loop in a thread of its own, so that the main thread stays env.py's and the
gate can look and act while a statement of the migration runs.
"""

import asyncio
import select
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import asyncpg

from sage_migrate.settings import Settings

T = TypeVar("T")
Row = dict[str, Any]

_CONNECT_SECONDS = 10
# Beyond the statement_timeout of these sessions: then the network swallows what is sent.
ANSWER_SECONDS = 15
ONLINE = "sage-migrate online"
"""The application_name of the session that holds the lock of an online run."""
# A vanished node must not keep the lock: the server drops the session after about ten seconds.
# https://www.postgresql.org/docs/current/runtime-config-connection.html#RUNTIME-CONFIG-TCP-SETTINGS
KEEPALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "9000",
}
# The lock's session is idle for as long as the migration runs, and that must not end it.
SESSION_PARAMETERS = {
    **KEEPALIVE,
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "statement_timeout": "10s",
    "lock_timeout": "1s",
}


class Session(Protocol):
    """A connection in autocommit that runs one statement at a time and returns its rows as mappings."""

    async def fetch(self, sql: str) -> list[Row]:
        """Run ``sql``, which holds no parameters (see `quote_literal`), and return its rows."""

    async def execute(self, sql: str) -> None:
        """Run ``sql`` for what it does: of three round trips to the server, a driver may spare two."""

    def has_ended(self) -> bool | None:
        """Tell whether the server closed the connection; None where only a statement would show it."""

    async def close(self) -> None:
        """Close the connection; a broken one is let go without an error."""


Connect = Callable[[str], Awaitable[Session]]
"""Open a session under an application_name."""


class AsyncpgSession:
    """A session by asyncpg."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Take over an open connection."""
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()
        transport: Any = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001  nothing public names it
        self._waiting = select.poll()
        self._waiting.register(transport.get_extra_info("socket"), select.POLLIN)

    async def fetch(self, sql: str) -> list[Row]:
        """Run ``sql`` and return its rows."""
        async with self._one_at_a_time, asyncio.timeout(ANSWER_SECONDS):
            return [dict(record) for record in await self._connection.fetch(sql)]

    async def execute(self, sql: str) -> None:
        """Run ``sql`` in one message, where `fetch` prepares it, runs it and lets it go."""
        async with self._one_at_a_time, asyncio.timeout(ANSWER_SECONDS):
            await self._connection.execute(sql)

    def has_ended(self) -> bool | None:
        """Tell whether the server closed the connection; None where something came that the loop has not read yet."""
        if self._connection.is_closed():
            return True
        return None if self._waiting.poll(0) else False

    async def close(self) -> None:
        """Close the connection, by force when the server does not answer."""
        try:
            await self._connection.close(timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._connection.terminate()


async def open_by_url(settings: Settings, application_name: str) -> AsyncpgSession:
    """Open a session on the database that the settings name, with no limits of its own yet."""
    assert settings.database_url is not None
    arguments = settings.database_url.asyncpg_arguments()
    arguments["server_settings"]["application_name"] = application_name
    if settings.password_command is not None:
        arguments["password"] = await asyncio.to_thread(settings.password)
    # Without a statement cache the session also works behind a pooler, long enough to say so.
    return AsyncpgSession(await asyncpg.connect(**arguments, timeout=_CONNECT_SECONDS, statement_cache_size=0))


def connect_by_url(settings: Settings) -> Connect:
    """Return how to open a session on the database that the settings name."""

    async def connect(application_name: str) -> Session:
        session = await open_by_url(settings, application_name)
        await session.fetch(set_config_sql(SESSION_PARAMETERS))
        return session

    return connect


def is_broken(error: BaseException) -> bool:
    """Tell whether a session that raised ``error`` is gone, whatever its driver."""
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(("08", "57P"))
    # What a driver says without the server's word is that there is no server any more.
    return isinstance(error, OSError) or type(error).__module__.startswith(("asyncpg", "psycopg", "sqlalchemy"))


def quote_literal(text: str) -> str:
    """Return ``text`` as a literal of SQL, whatever standard_conforming_strings is."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def quote_identifier(name: str) -> str:
    """Return ``name`` as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def search_path_sql(*schemas: str) -> str:
    """Return a statement that lets unqualified names of the session mean what is in ``schemas``."""
    path = ", ".join(map(quote_identifier, schemas))
    return f"SELECT set_config('search_path', {quote_literal(path)}, false)"


def set_config_sql(parameters: dict[str, str]) -> str:
    """Return one statement that sets ``parameters`` for the session; those unknown to the server are left out."""
    wanted = ", ".join(f"({quote_literal(name)}, {quote_literal(value)})" for name, value in parameters.items())
    # Not by pg_settings, which makes a row of every setting each time: that takes tens of milliseconds.
    return (
        f"SELECT set_config(name, value, false) FROM (VALUES {wanted}) AS wanted (name, value)"  # noqa: S608  quoted
        " WHERE current_setting(name, true) IS NOT NULL"
    )


def set_owner_sql(relation: str) -> str:
    """Return a statement of PL/pgSQL: become the owner of ``relation`` for this transaction, where that is allowed."""
    return (
        "PERFORM set_config('role', pg_get_userbyid(relowner), true) FROM pg_class"
        f" WHERE oid = {relation}::regclass AND pg_has_role(session_user, relowner, 'MEMBER');"
    )


class ControlThread:
    """An event loop in a thread of its own, which drives the gate's sessions and watches."""

    def __init__(self) -> None:
        """Make the loop; `__enter__` starts it."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="sage-migrate-control", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel what still runs, and end the thread."""
        self.call(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
        """Run ``work`` on the control loop and return its result to the calling thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
