"""Migrate the database of `sqlalchemy.url`."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import async_engine_from_config


def run_migrations(connection: Connection) -> None:
    """Run what Alembic was asked for."""
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Run it on one connection."""
    section = context.config.get_section(context.config.config_ini_section, {})
    engine = async_engine_from_config(section)
    async with engine.connect() as connection:
        await connection.run_sync(run_migrations)
    await engine.dispose()


asyncio.run(connect_and_run())
