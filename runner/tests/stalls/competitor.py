"""Another session's statement that runs, and waits, in a thread of its own."""

import threading
import time

import psycopg
from harness.postgres import Connection

PATIENCE_SECONDS = 60


class Competitor:
    """One statement of the application beside the migration."""

    def __init__(self, connection: Connection, sql: str) -> None:
        """Send it."""
        self._connection = connection
        self._sql = sql
        self._error: psycopg.Error | None = None
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._execute, daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """Return how long it took, once it has succeeded."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), f"still waiting: {self._sql}"
        if self._error is not None:
            raise self._error
        return self._seconds

    def _execute(self) -> None:
        started = time.monotonic()
        try:
            self._connection.execute(self._sql.encode())
        except psycopg.Error as error:
            self._error = error
        self._seconds = time.monotonic() - started
