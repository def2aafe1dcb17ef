"""A streaming standby of a scratch server."""

import time

import psycopg
from sage_migrate.scratch_server import ScratchServer

_PATIENCE_SECONDS = 90


class Standby(ScratchServer):
    """A server that follows another one until it is promoted."""

    def __init__(self, primary: ScratchServer) -> None:
        """Choose whom to follow, with the same binaries."""
        super().__init__(
            primary.bin_directory, settings={"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}
        )
        self._primary = primary

    def _run(self, program: str, *arguments: str) -> None:
        """Copy the primary where a server of its own would be made."""
        if program != "initdb":
            super()._run(program, *arguments)
            return
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres"
        super()._run(
            "pg_basebackup", "-D", str(self._data), "-d", source, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"
        )

    def promote(self) -> None:
        """Make it the primary, and wait until it takes changes."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def replay(self, *, paused: bool) -> None:
        """Let what it is sent wait, or go on."""
        with psycopg.connect(self.url(), autocommit=True) as standby:
            standby.execute(f"SELECT pg_wal_replay_{'pause' if paused else 'resume'}()".encode())

    def catch_up(self) -> None:
        """Wait until it has replayed what the primary has written."""
        with psycopg.connect(self._primary.url(), autocommit=True) as primary:
            (written,) = primary.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
        self.until(f"pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")

    def until(self, condition: str) -> None:
        """Wait until a condition of SQL holds on it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with psycopg.connect(self.url(), autocommit=True) as standby:
            while standby.execute(f"SELECT {condition}".encode()).fetchone() != (True,):
                assert time.monotonic() < deadline, f"never came true on the standby: {condition}"
                time.sleep(0.02)
