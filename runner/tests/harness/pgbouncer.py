"""A real pgbouncer in front of a database."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_START_SECONDS = 20


class Pgbouncer:
    """One pooler, in a given pool mode."""

    def __init__(self, *, server_port: int, pool_mode: str) -> None:
        """Write its configuration.

        Where it is not installed the test fails in CI, and is skipped elsewhere with the reason.
        """
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            reason = "pgbouncer is not installed (Debian: apt-get install pgbouncer)"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
        self._program = program
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._directory = tempfile.TemporaryDirectory(prefix="sage-pgbouncer-")
        self._configuration = Path(self._directory.name) / "pgbouncer.ini"
        self._configuration.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {pool_mode}\nignore_startup_parameters = extra_float_digits\n"
        )

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        if user:
            shutil.chown(self._directory.name, user)
        self._process = subprocess.Popen([self._program, "-q", self._configuration], user=user)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                assert self._process.poll() is None, "pgbouncer ended"
                assert time.monotonic() < deadline, "pgbouncer does not listen"
                time.sleep(0.02)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()
