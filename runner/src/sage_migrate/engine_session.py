"""Sessions of the gate made by env.py's own engine, where only env.py knows how to connect.

The engine's creator, connect_args and ``do_connect`` hooks all count, so IAM tokens and connectors work. The
engine's own pool is left alone: https://docs.sqlalchemy.org/en/21/core/pooling.html#sqlalchemy.pool.Pool.recreate
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.util.concurrency import greenlet_spawn

from sage_migrate.session import ANSWER_SECONDS, SESSION_PARAMETERS, Connect, Row, Session, set_config_sql

# Blocking calls of a DBAPI: in a thread for a sync driver, in a greenlet of the loop for an async one.
_Spawn = Callable[..., Awaitable[Any]]


class DBAPISession:
    """A session by any DBAPI that SQLAlchemy drives, in autocommit."""

    def __init__(self, connection: Any, spawn: _Spawn) -> None:
        """Take over a pooled connection."""
        self._connection = connection
        self._spawn = spawn
        self._one_at_a_time = asyncio.Lock()

    async def fetch(self, sql: str) -> list[Row]:
        """Run ``sql`` and return its rows."""
        async with self._one_at_a_time, asyncio.timeout(ANSWER_SECONDS):
            rows: list[Row] = await self._spawn(self._fetch, sql)
            return rows

    async def execute(self, sql: str) -> None:
        """Run ``sql``."""
        await self.fetch(sql)

    def has_ended(self) -> None:
        """Say that only a statement would show it."""

    async def close(self) -> None:
        """Close the connection itself, not only hand it back."""
        with contextlib.suppress(Exception):  # whatever the driver says of a broken connection, it is gone
            await self._spawn(self._connection.invalidate)

    def _fetch(self, sql: str) -> list[Row]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            if not cursor.description:
                return []
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()


def connect_by_engine(engine: Engine) -> Connect:
    """Return how to open a session as ``engine`` does."""
    pool = engine.pool.recreate()
    spawn: _Spawn = greenlet_spawn if getattr(engine.dialect, "is_async", False) else asyncio.to_thread

    def open_connection(application_name: str) -> Any:
        connection = pool.connect()
        engine.dialect.set_isolation_level(connection.dbapi_connection, "AUTOCOMMIT")  # type: ignore[arg-type]
        cursor = connection.cursor()
        cursor.execute(set_config_sql({**SESSION_PARAMETERS, "application_name": application_name}))
        cursor.close()
        return connection

    async def connect(application_name: str) -> Session:
        return DBAPISession(await spawn(open_connection, application_name), spawn)

    return connect
