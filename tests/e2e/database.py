"""A database of a test's own, on the server beside the cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from tests.e2e.cluster import DATABASE_FOR_PODS, Address

# To be found nowhere in what Helm prints.
PASSWORD = "correct-horse"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database whose owner has its name."""

    name: str
    server: Address

    @property
    def url(self) -> str:
        """The URL by which pods reach it."""
        host, port = DATABASE_FOR_PODS
        return f"postgresql://{self.name}:{PASSWORD}@{host}:{port}/{self.name}"

    def connect(
        self, *, user: str = "postgres", password: str = "postgres", application_name: str = "tests"
    ) -> psycopg.Connection:
        """Connect, as the superuser by default."""
        host, port = self.server
        return psycopg.connect(
            host=host,
            port=port,
            user=user,
            password=password,
            dbname=self.name,
            application_name=application_name,
            autocommit=True,
        )

    def read(self, statement: str) -> list[Any]:
        """Run a statement; return the first column of its rows."""
        with self.connect() as connection:
            cursor = connection.execute(statement.encode())
            return [row[0] for row in cursor] if cursor.description else []

    def versions(self) -> list[str]:
        """Return what Alembic's version table holds."""
        return self.read("SELECT version_num FROM alembic_version")

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        return self.read(f"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attnum > 0")

    def has_table(self, name: str) -> bool:
        """Tell whether a table exists."""
        (found,) = self.read(f"SELECT to_regclass('{name}') IS NOT NULL")
        return bool(found)

    def pretend_many_rows(self, table: str) -> None:
        """Let the server estimate a thousand million rows of ``table``; autovacuum would mend it."""
        self.read(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        self.read(
            f"UPDATE pg_class SET reltuples = 1e9, relpages = pg_relation_size(oid) / 8192 WHERE oid = '{table}'::regclass"
        )

    @contextmanager
    def long_reader(self, table: str) -> Iterator[None]:
        """Keep a transaction open that has read ``table``, as a report or a backup does."""
        reader = self.connect(user=self.name, password=PASSWORD, application_name="nightly-report")
        with reader, reader.transaction():
            reader.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            yield


@contextmanager
def created(name: str, server: Address) -> Iterator[Database]:
    """Make the database ``name``, and drop it in the end."""
    database = Database(name=name, server=server)
    admin = Database(name="postgres", server=server)
    role = sql.Identifier(name)

    def run(statement: str) -> None:
        with admin.connect() as connection:
            connection.execute(sql.SQL(statement).format(role=role, password=sql.Literal(PASSWORD)))

    run("CREATE ROLE {role} LOGIN PASSWORD {password}")
    run("CREATE DATABASE {role} OWNER {role}")
    try:
        yield database
    finally:
        run("DROP DATABASE {role} WITH (FORCE)")
        run("DROP ROLE {role}")
