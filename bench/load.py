"""The live application: a process of its own whose connections serve short requests at a fixed rate.

    python -m bench.load postgresql://… [--rate 240] [--hold 0.02]

prints ``ready`` once it serves, goes on until its standard input ends, and prints what each request felt as JSON.
The rate is low on purpose: on two cores the latency must be the server's and not that of this process.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field

import asyncpg

CONNECTIONS = 8
REQUESTS_PER_SECOND = 240
_KEYS = 1000
# A hung migration must not hang the bench: each request has an end, longer than any scenario.
_COMMAND_TIMEOUT_SECONDS = 90

# Named columns: what a request reads is not what the migrations change.
_SELECT = "SELECT org_id, created_at FROM conversations WHERE id = $1"
_UPDATE = "UPDATE conversations SET created_at = now() WHERE id = $1"
_INSERT = "INSERT INTO conversations (org_id, title) SELECT org_id, 'inserted' FROM conversations WHERE id = $1"
_STATEMENTS = (_SELECT, _UPDATE, _INSERT)
_PERCENT = (60, 30, 10)


@dataclass
class Felt:
    """What the application felt; points in time are of this machine's monotonic clock, all in seconds."""

    interval_seconds: float
    """How far apart the requests of one connection are when nothing holds them up."""
    requests: list[tuple[float, float]] = field(default_factory=list)
    """Each answered request: when it was sent, and how long its answer took."""
    failures: list[tuple[float, str]] = field(default_factory=list)
    """Each failed request: when it was sent, and the SQLSTATE or the error's name."""
    late_seconds: float = 0.0
    """The longest that this process itself was late to send a request: the error of the measurement."""


class Application:
    """All connections of the application."""

    def __init__(self, url: str, *, rate: float, hold: float) -> None:
        """Serve ``rate`` requests a second on the database at ``url``.

        ``hold`` is how many seconds a transaction stays open after its statement, on average; 0 is autocommit.
        """
        self.felt = Felt(interval_seconds=CONNECTIONS / rate)
        self.stop = asyncio.Event()
        self._url = url
        self._hold = hold
        self._keys: list[object] = []
        self._ready = asyncio.Barrier(CONNECTIONS + 1)

    async def serve(self) -> Felt:
        """Send requests until ``stop`` is set."""
        connection = await self._connect()
        rows = await connection.fetch(f"SELECT id FROM conversations ORDER BY id LIMIT {_KEYS}")
        self._keys = [row["id"] for row in rows]
        await connection.close()
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(self._serve_connection(random.Random(number)))
            await self._ready.wait()
            print("ready", flush=True)
        return self.felt

    async def _serve_connection(self, chance: random.Random) -> None:
        connection = await self._connect()
        # Prepare the statements and fill the caches: that is no stall.
        for statement in _STATEMENTS:
            await connection.execute(statement, chance.choice(self._keys))
        await self._ready.wait()
        due = time.monotonic() + chance.uniform(0, self.felt.interval_seconds)
        while not self.stop.is_set():
            await asyncio.sleep(due - time.monotonic())
            sent = time.monotonic()
            self.felt.late_seconds = max(self.felt.late_seconds, sent - due)
            try:
                answered = await self._request(connection, chance)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                self.felt.failures.append((sent, getattr(error, "sqlstate", None) or type(error).__name__))
                if connection.is_closed():
                    connection = await self._connect()
            else:
                self.felt.requests.append((sent, answered - sent))
            due = max(due + self.felt.interval_seconds, time.monotonic())
        await connection.close()

    async def _request(self, connection: "asyncpg.Connection[asyncpg.Record]", chance: random.Random) -> float:
        """Send one request; return when its answer came."""
        (statement,) = chance.choices(_STATEMENTS, _PERCENT)
        if not self._hold:
            await connection.execute(statement, chance.choice(self._keys))
            return time.monotonic()
        async with connection.transaction():
            await connection.execute(statement, chance.choice(self._keys))
            answered = time.monotonic()
            await asyncio.sleep(chance.expovariate(1 / self._hold))
        return answered

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            self._url, command_timeout=_COMMAND_TIMEOUT_SECONDS, server_settings={"application_name": "the app"}
        )


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve requests until standard input ends.")
    parser.add_argument("url")
    parser.add_argument(
        "--rate", type=float, default=REQUESTS_PER_SECOND, help="requests a second, of all connections together"
    )
    parser.add_argument("--hold", type=float, default=0, help="seconds that a transaction stays open, on average")
    arguments = parser.parse_args()
    application = Application(arguments.url, rate=arguments.rate, hold=arguments.hold)
    asyncio.get_running_loop().add_reader(sys.stdin, application.stop.set)
    felt = await application.serve()
    json.dump(asdict(felt), sys.stdout)


if __name__ == "__main__":
    asyncio.run(_main())
