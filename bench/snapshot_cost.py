"""What the stall guard costs a crowded server: ``python -m bench.snapshot_cost``.

The server has 1,000 connections, of which 200 wait for a lock. Reports the price of one look at pg_locks, then
what the sessions of a real gate use of a core of the server while its migration works, and while it waits for a
reader to end: first with the other connections idle, then with 400 of them in the middle of a transaction that holds
some twenty locks. The exit status is 1 when it is more than it may be.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import psutil
from sage_migrate.lock_waits import LockWaits, glance, take_snapshot
from sage_migrate.scratch_server import scratch_server
from sage_migrate.session import AsyncpgSession

from bench.contenders import contenders
from bench.scenarios import Scenario

CONNECTIONS = 1000
WAITERS = 200
IN_TRANSACTION = 400
_LOCKS_EACH = 10
_AT_ONCE = 20
_ASK_SECONDS = 0.1
_SNAPSHOTS = 100
_SECONDS = 20
_BOUND_PERCENT = 1.0

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_SCHEMA = ";".join(
    (
        "CREATE TABLE crowded (id int)",
        "CREATE TABLE wanted (id int)",
        *(f"CREATE TABLE used_{n} (id int PRIMARY KEY)" for n in range(_LOCKS_EACH)),
    )
)
_USE = "BEGIN;" + ";".join(f"SELECT FROM used_{n}" for n in range(_LOCKS_EACH))
_GATE_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'sage-migrate%'"
# By these states it is known that the gate has started.
_IS_AT_WORK = "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(%'"
_IS_WAITING = (
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE application_name = 'sage-migrate watch' AND query LIKE '%virtualtransaction IN%'"
)
_WORKS = Scenario(name="works", title="", revisions=(f"SELECT pg_sleep({3 * _SECONDS})",), applied="")
_WAITS = Scenario(name="waits", title="", revisions=("ALTER TABLE wanted ADD COLUMN extra int",), applied="")


async def main(url: str) -> int:
    """Report the figures; return 1 when the guard costs more of a core than it may."""
    highest = 0.0
    print("| locks held | waited for | a glance | a snapshot | migration works | migration waits for a reader |")
    print("|---|---|---|---|---|---|")
    async with _crowd(url) as (connection, others):
        for using in ([], others[:IN_TRANSACTION]):
            for each in using:
                await each.execute(_USE)
            held, waiting = await _count_locks(connection)
            glances, snapshots = await _price_of_looks(url)
            works = await _percent_of_a_core(url, connection, _WORKS, _IS_AT_WORK)
            await others[-1].execute("BEGIN; SELECT FROM wanted")
            waits = await _percent_of_a_core(url, connection, _WAITS, _IS_WAITING)
            await others[-1].execute("ROLLBACK")
            print(
                f"| {held} | {waiting} | {1000 * glances:.1f} ms of a core | {1000 * snapshots:.1f} ms of a core "
                f"| {works:.2f} % of a core | {waits:.2f} % of a core |",
                flush=True,
            )
            highest = max(highest, works, waits)
    return 0 if highest <= _BOUND_PERCENT else 1


@asynccontextmanager
async def _crowd(url: str) -> AsyncIterator[tuple[Connection, list[Connection]]]:
    """Crowd the server; yield one connection to ask by, and those of the crowd that do nothing yet."""
    free = await asyncpg.connect(url)
    await free.execute(_SCHEMA)
    few = asyncio.Semaphore(_AT_ONCE)

    async def connect() -> Connection:
        async with few:
            return await asyncpg.connect(url, server_settings={"application_name": "the crowd"})

    holder, *crowd = await asyncio.gather(*(connect() for _ in range(CONNECTIONS)))
    await holder.execute("BEGIN; LOCK TABLE crowded IN ACCESS EXCLUSIVE MODE")
    waiters = [asyncio.create_task(each.execute("SELECT FROM crowded")) for each in crowd[:WAITERS]]
    waiting = 0
    while waiting < WAITERS:
        await asyncio.sleep(_ASK_SECONDS)
        _, waiting = await _count_locks(free)
    try:
        yield free, crowd[WAITERS:]
    finally:
        await holder.execute("ROLLBACK")
        await asyncio.gather(*waiters)
        for each in (holder, *crowd, free):
            each.terminate()


async def _count_locks(connection: Connection) -> tuple[int, int]:
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE granted), count(*) FILTER (WHERE NOT granted) FROM pg_locks"
    )
    assert row is not None
    return row[0], row[1]


async def _price_of_looks(url: str) -> tuple[float, float]:
    """Return the seconds of a core of the server that a glance takes, and a snapshot."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    session = AsyncpgSession(connection)
    pid = connection.get_server_pid()

    async def price(look: Callable[[], Awaitable[LockWaits]]) -> float:
        await look()
        used = _seconds_used([pid])
        for _ in range(_SNAPSHOTS):
            await look()
        return (_seconds_used([pid]) - used) / _SNAPSHOTS

    prices = await price(lambda: glance(session, pid)), await price(lambda: take_snapshot(session))
    await connection.close()
    return prices


async def _percent_of_a_core(url: str, connection: Connection, scenario: Scenario, started: str) -> float:
    """Run a real gate, and return what its sessions use of a core of the server once ``started`` is true."""
    contender = contenders()["gate"]
    with tempfile.TemporaryDirectory() as name:
        contender.write(Path(name), url, scenario)
        command = contender.start(Path(name), url, None)
        process = await asyncio.create_subprocess_exec(
            *command.arguments, cwd=command.directory, env=command.environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            while not await connection.fetchval(started):
                assert process.returncode is None, "the gate has ended"
                await asyncio.sleep(_ASK_SECONDS)
            pids = [row["pid"] for row in await connection.fetch(_GATE_SESSIONS)]
            used = _seconds_used(pids)
            await asyncio.sleep(_SECONDS)
            return 100 * (_seconds_used(pids) - used) / _SECONDS
        finally:
            process.terminate()
            await process.wait()


def _seconds_used(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    with scratch_server(max_connections=str(CONNECTIONS + 50)) as running:
        sys.exit(asyncio.run(main(running.url())))
