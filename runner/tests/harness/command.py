"""Run the real command line in a process of its own, and read what it says."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import psycopg

from harness.postgres import PASSWORD_MARK
from harness.project import Project

PATIENCE_SECONDS = 90
PATIENT = ("--lock-timeout", "700ms")
"""Tries that are long enough for a look at who is in the way on any machine."""
Event = dict[str, Any]


class Process(Protocol):
    """What both ways to start a run offer; `subprocess.Popen` is one."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended and what it said."""

    status: int
    stdout: str
    stderr: str
    termination: Event | None
    seconds: float

    @cached_property
    def events(self) -> list[Event]:
        """Every line of stdout that is JSON."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    def named(self, name: str) -> list[Event]:
        """Return the events of one name."""
        return [event for event in self.events if event["event"] == name]

    def one(self, name: str) -> Event:
        """Return the only event of that name."""
        (event,) = self.named(name)
        return event

    @property
    def failed(self) -> Event:
        """The last event of a run that ended short."""
        return self.one("failed")

    @property
    def message(self) -> str:
        """What a person reads of a failure."""
        return str(self.failed["message"])

    @property
    def applied(self) -> list[str]:
        """The revisions that this run applied."""
        return [event["revision"] for event in self.named("revision_applied")]

    def expect(self, status: int) -> Self:
        """Fail with everything that was said when the exit status is another."""
        assert self.status == status, f"exit status {self.status}\n{self.stdout}\n{self.stderr}"
        return self


@dataclass(kw_only=True)
class Run:
    """A run that was started."""

    process: Process
    out: Path
    err: Path
    termination_log: Path
    started: float = field(default_factory=time.monotonic)

    def until(self, event: str, **fields: object) -> Event:
        """Wait for an event with these fields."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for line in self.out.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    found: Event = json.loads(line)
                    if found.get("event") == event and fields.items() <= found.items():
                        return found
            time.sleep(0.01)
        raise AssertionError(f"no {event} {fields} in\n{self.out.read_text()}\n{self.err.read_text()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.process.pid, number)

    def wait(self, timeout: float = PATIENCE_SECONDS) -> Outcome:
        """Return the outcome, in which no password may show."""
        status = self.process.wait(timeout)
        said = [path.read_text() if path.exists() else "" for path in (self.out, self.err, self.termination_log)]
        assert PASSWORD_MARK not in "".join(said), "\n".join(said)
        return Outcome(
            status=status,
            stdout=said[0],
            stderr=said[1],
            termination=json.loads(said[2]) if said[2] else None,
            seconds=time.monotonic() - self.started,
        )

    def wait_behind(self, blocker: psycopg.Connection[Any], **fields: object) -> Outcome:
        """Return the outcome, when ``blocker`` has made a try fail and has then ended its transaction."""
        self.until("lock_try_failed", **fields)
        blocker.rollback()
        return self.wait()

    def kill(self) -> None:
        """End the run without its knowing, as a lost node does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)


class Launcher:
    """Start runs: by forking a process that has imported everything, or plainly where that is not safe."""

    def __init__(self) -> None:
        """Start the forking process."""
        self._channel, theirs = socket.socketpair()
        script = Path(__file__).with_name("launcher.py")
        self._process = subprocess.Popen([sys.executable, script, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()

    def close(self) -> None:
        """End it."""
        self._channel.close()
        self._process.wait()

    def start(
        self, command: Sequence[str], *, directory: Path, environment: Mapping[str, str], out: Path, err: Path
    ) -> Process:
        """Start the main() of the module ``command[0]`` with the rest as its arguments."""
        module = command[0]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            if sys.platform != "linux":  # system libraries of macOS do not survive a fork
                line = [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())", *command[1:]]
                return subprocess.Popen(line, cwd=directory, env=dict(environment), stdout=stdout, stderr=stderr)
            request = {
                "command": list(command),
                "directory": str(directory),
                "environment": dict(environment),
            }
            ours, theirs = socket.socketpair()
            descriptors = [stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)
            theirs.close()
            return _Forked(ours)


class CommandLine:
    """The command line of one test: each run has the test's database and nothing else in its environment."""

    def __init__(self, launcher: Launcher, database_url: str, directory: Path) -> None:
        """Keep output in ``directory``."""
        self._launcher, self._database_url, self._directory = launcher, database_url, directory
        self._runs: list[Run] = []

    def start(
        self,
        project: Project,
        *arguments: str,
        url: str | None = "",
        module: str = "sage_migrate.cli",
        **environment: str,
    ) -> Run:
        """Start ``sage-migrate ARGUMENTS`` (default: upgrade) in the project; ``url`` None means no DATABASE_URL."""
        number = len(self._runs)
        termination_log, out, err = (self._directory / f"{name}-{number}" for name in ("termination", "out", "err"))
        given = {"PATH": os.environ["PATH"], "HOME": str(self._directory), "PYTHONDONTWRITEBYTECODE": "1"}
        if url is not None:
            given["DATABASE_URL"] = url or self._database_url
        if module == "sage_migrate.cli":
            given |= {"SAGE_MIGRATE_TERMINATION_LOG": str(termination_log), "SAGE_MIGRATE_LOG_FORMAT": "json"}
        command = [module, *(arguments or ("upgrade",))]
        process = self._launcher.start(
            command, directory=project.directory, environment=given | environment, out=out, err=err
        )
        self._runs.append(Run(process=process, out=out, err=err, termination_log=termination_log))
        return self._runs[-1]

    def run(self, project: Project, *arguments: str, url: str | None = "", **environment: str) -> Outcome:
        """Run ``sage-migrate ARGUMENTS`` to its end."""
        return self.start(project, *arguments, url=url, **environment).wait()

    def alembic(self, project: Project, *arguments: str, url: str = "") -> Outcome:
        """Run bare ``alembic ARGUMENTS``, which knows the database by its configuration file."""
        url = url or self._database_url.replace("postgresql:", "postgresql+psycopg2:")
        configuration = project.directory / "alembic.ini"
        lines = configuration.read_text().splitlines()
        lines = [
            f"sqlalchemy.url = {url.replace('%', '%%')}" if line.startswith("sqlalchemy.url") else line
            for line in lines
        ]
        own = project.write("bare.ini", "\n".join(lines))
        return self.start(project, "-c", str(own), *arguments, module="alembic.config", url=url).wait()

    def kill(self) -> None:
        """End what a failed test left running."""
        for run in self._runs:
            run.kill()
            run.process.wait()


class _Forked:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._status: int | None = None
        self.pid = int(self._line())

    def wait(self, timeout: float | None = None) -> int:
        if self._status is None:
            self._control.settimeout(timeout)
            self._status = int(self._line())
            self._control.close()
        return self._status

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._control.recv(1)
            assert byte, "the launcher died"
            line += byte
        return line
