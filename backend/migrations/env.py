"""Migrate the database that the application's own settings name."""

import asyncio
import logging
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from app.models import Base
from app.settings import Settings

OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "compare_type": True,
    "compare_server_default": True,
    # Locks of one revision are released before the next, and CONCURRENTLY can leave its own transaction.
    "transaction_per_migration": True,
}


def run_migrations(connection: Connection) -> None:
    """Run what Alembic was asked for."""
    context.configure(connection=connection, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


async def run_migrations_online() -> None:
    """Run them on one connection, without the timeouts that the application sets for its requests."""
    engine = create_async_engine(Settings().sqlalchemy_url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run_migrations)
    await engine.dispose()


def run_migrations_offline() -> None:
    """Print the SQL; this needs no database."""
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


# The gate, and pytest, have configured logging already.
if context.config.config_file_name is not None and not logging.getLogger().hasHandlers():
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    run_migrations_offline()
else:
    asyncio.run(run_migrations_online())
