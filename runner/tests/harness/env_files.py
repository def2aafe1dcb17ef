"""env.py as people write it."""

from typing import NamedTuple

HEAD = """
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool, text

config = context.config
target_metadata = None
"""

SYNC = f"""{HEAD}
def run_migrations_offline():
    context.configure(url=config.get_main_option("sqlalchemy.url"), target_metadata=target_metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()

def run_migrations_online():
    section = config.get_section(config.config_ini_section)
    connectable = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""

ASYNC = f"""{HEAD}
import asyncio
from sqlalchemy.ext.asyncio import async_engine_from_config

def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()

async def run_async_migrations():
    section = config.get_section(config.config_ini_section)
    connectable = async_engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()

asyncio.run(run_async_migrations())
"""


class Style(NamedTuple):
    """A driver and an env.py that can use it."""

    driver: str
    env: str

    @property
    def name(self) -> str:
        """Return what to call it in a test's name."""
        return f"{self.driver}-{'async' if self.env == ASYNC else 'sync'}"


STYLES = [Style("psycopg2", SYNC), Style("psycopg", SYNC), Style("asyncpg", ASYNC), Style("psycopg", ASYNC)]
