"""Run migration commands beside the live application, and a long reader in the way if asked for."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import asyncpg

from bench.live_load import LiveLoad
from bench.load import Felt

READER = "nightly report"
_PATIENCE_SECONDS = 120
_ASK_SECONDS = 0.02
# Before the migration and after it: the application at rest, in the same measurement.
_REST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """How to start one migration tool on one database."""

    arguments: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class MigrationRun:
    """What one run did; points in time are of this machine's monotonic clock."""

    started: float
    ended: float
    interrupted: float | None
    """When the command was killed, if it was."""
    reader_ended: float | None
    exit_statuses: tuple[int, ...]
    outputs: tuple[str, ...]
    felt: Felt

    @property
    def seconds(self) -> float:
        """How long the command took, or the slowest of several."""
        return self.ended - self.started


class LongReader:
    """A report that reads ``conversations`` in one transaction for a given time."""

    def __init__(self, url: str, seconds: float) -> None:
        """Begin to read."""
        self.ended: float | None = None
        self._thread = threading.Thread(target=self._read, args=(url, seconds), name=READER)
        self._thread.start()
        wait_until(
            url,
            f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{READER}' AND wait_event = 'PgSleep'",
        )

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _read(self, url: str, seconds: float) -> None:
        fetch(url, f"SELECT title, pg_sleep({seconds}) FROM conversations LIMIT 1", application_name=READER)
        self.ended = time.monotonic()


def run_beside_load(
    load: LiveLoad | None,
    commands: Sequence[Command],
    *,
    reader: Callable[[], LongReader] | None = None,
    interrupt: Callable[[list[subprocess.Popen[bytes]]], float] | None = None,
) -> MigrationRun:
    """Start ``commands`` together beside ``load``, if there is one, and wait for them all.

    ``interrupt`` may end them before their time, and returns when it did.
    """
    rest = _REST_SECONDS if load else 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(load or contextlib.nullcontext())
        time.sleep(rest)
        reading = reader() if reader else None
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        started = time.monotonic()
        processes = [_start(command, output) for command, output in zip(commands, outputs, strict=True)]
        interrupted = interrupt(processes) if interrupt else None
        exit_statuses = tuple(_wait(process, started) for process in processes)
        ended = time.monotonic()
        if reading is not None:
            reading.wait()
        time.sleep(rest)
        texts = tuple(_read(output) for output in outputs)
    return MigrationRun(
        started=started,
        ended=ended,
        interrupted=interrupted,
        reader_ended=reading.ended if reading else None,
        exit_statuses=exit_statuses,
        outputs=texts,
        felt=load.felt if load else Felt(interval_seconds=0),
    )


def run_one_after_another(load: LiveLoad, commands: Sequence[Command]) -> MigrationRun:
    """Start each of ``commands`` when the one before has ended, all beside one ``load``."""
    with load, tempfile.TemporaryFile() as output:
        time.sleep(_REST_SECONDS)
        started = time.monotonic()
        exit_statuses = tuple(_wait(_start(command, output), time.monotonic()) for command in commands)
        ended = time.monotonic()
        time.sleep(_REST_SECONDS)
        text = _read(output)
    return MigrationRun(
        started=started,
        ended=ended,
        interrupted=None,
        reader_ended=None,
        exit_statuses=exit_statuses,
        outputs=(text,),
        felt=load.felt,
    )


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what would speak to a migration tool, and with ``variables``."""
    spoken = ("PG", "SAGE_MIGRATE_", "DATABASE_", "GOOSE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(spoken)}
    return inherited | variables


def fetch(url: str, sql: str, *, application_name: str = "bench") -> list[Any]:
    """Run one statement on a connection of its own and return its rows."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url, server_settings={"application_name": application_name})
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    return asyncio.run(run())


def execute(url: str, script: str) -> None:
    """Run the statements of ``script`` on a connection of their own."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(script)
        finally:
            await connection.close()

    asyncio.run(run())


def wait_until(url: str, question: str) -> None:
    """Return when ``question`` is answered with true.

    Raises:
        TimeoutError: it is not within the bench's patience.
    """

    async def ask() -> None:
        connection = await asyncpg.connect(url, server_settings={"application_name": "bench"})
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while True:
                    if await connection.fetchval(question):
                        return
                    await asyncio.sleep(_ASK_SECONDS)
        finally:
            await connection.close()

    asyncio.run(ask())


def _start(command: Command, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.arguments,
        cwd=command.directory,
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def _wait(process: subprocess.Popen[bytes], started: float) -> int:
    try:
        return process.wait(started + _PATIENCE_SECONDS - time.monotonic())
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _read(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")
