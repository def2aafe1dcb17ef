"""The connection pool, and the one transaction of each request."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated

from asyncpg import InterfaceError, PostgresError
from fastapi import Depends, HTTPException, Request, status
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.settings import Settings

logger = logging.getLogger(__name__)

_APPLICATION_NAME = "conversations"
_CONNECT_TIMEOUT_SECONDS = 5
# Classes of SQLSTATE that speak of the database's state, not of the statement: connection, deadlock, resources,
# object in use, operator intervention (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_OUTAGES = ("08", "40", "53", "55", "57")
DATABASE_ERRORS = (SQLAlchemyError, PostgresError, InterfaceError, OSError)


def create_engine(settings: Settings) -> AsyncEngine:
    """Return the pool that all requests of this process share; no connection is made yet."""
    statement_timeout_seconds = settings.database_statement_timeout_seconds
    # Sent when connecting: behind PgBouncer, name the timeouts in its `ignore_startup_parameters`.
    server_settings = {
        "statement_timeout": f"{round(statement_timeout_seconds * 1000)}",
        "idle_in_transaction_session_timeout": f"{round(statement_timeout_seconds * 1000)}",
    }
    if "application_name=" not in str(settings.sqlalchemy_url.query.get("dsn")):
        # Whoever looks for what holds a lock reads this name; a URL that has one keeps it.
        server_settings["application_name"] = _APPLICATION_NAME
    return create_async_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout_seconds,
        # A connection that died in the pool (failover, restart) is replaced before a request sees it.
        pool_pre_ping=True,
        # What users wrote has no place in our logs.
        hide_parameters=True,
        connect_args={
            "timeout": _CONNECT_TIMEOUT_SECONDS,
            # A kept plan fails on each connection when a migration widens a column: a 500 for a safe change.
            "prepared_statement_cache_size": 0,
            # The server ends a slow statement; this process, a little later, one whose server has vanished.
            "command_timeout": statement_timeout_seconds + 1,
            "server_settings": server_settings,
        },
    )


async def open_transaction(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a request its session: committed when the route returns, rolled back when it raises.

    Raises:
        HTTPException: 503 when the database cannot be reached, or cannot serve for now.
    """
    try:
        async with request.app.state.sessions.begin() as session:
            yield session
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "The database is unavailable") from error


# With the default scope FastAPI would commit only after the response was sent: a 201 for a row that was never
# stored (https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/#early-exit-and-scope).
Session = Annotated[AsyncSession, Depends(open_transaction, scope="function")]


def is_outage(error: Exception) -> bool:
    """Tell whether the database, not the statement, is at fault; if so, log it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    outage = (
        isinstance(error, OSError | PoolTimeoutError)
        or getattr(error, "connection_invalidated", False)
        or (getattr(cause, "sqlstate", None) or "").startswith(_OUTAGES)
    )
    if outage:
        logger.warning("The database is unavailable: %r", cause)
    return outage
