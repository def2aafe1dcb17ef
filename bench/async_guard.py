"""What the async guard costs a query: ``python -m bench.async_guard``.

With and without it by turns in one run, in seconds of this thread's processor, of which the quickest round of each counts:
what else the machine does is in neither figure. The queries are the cheapest there are, on SQLite in memory, in a thread
without a loop and within a loop (there the engine says that it is async, since a real one's query varies by more than
the guard costs); and for the ratio, asyncpg's on a real server. The exit status is 1 when a query costs more than it may.
"""

import asyncio
import sys
import time

import sqlalchemy as sa
from sage_migrate.async_guard import AsyncGuard, allow
from sage_migrate.scratch_server import ScratchServer
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import create_async_engine

_ROUNDS = 1000
_QUERIES = 20
_BOUND_MICROSECONDS = 2.0
_QUERY = sa.text("SELECT 1")


def main() -> int:
    """Report the figures; return 1 when the guard costs more than it may."""
    print(f"SQLAlchemy {sa.__version__}, Python {sys.version.split()[0]}; the quickest of {_ROUNDS} rounds each\n")
    print("| engine | a query without | with | the guard costs | ratio |\n|---|---|---|---|---|")
    with AsyncGuard():
        costs = [
            _report("sync, SQLite, no loop", _synchronous()),
            _report("async, SQLite, in a loop", asyncio.run(_within_a_loop())),
        ]
        with ScratchServer() as server:
            url = server.url().replace("postgresql", "postgresql+asyncpg", 1)
            _report("async, asyncpg, loopback", asyncio.run(_asyncpg(url)))
    return int(max(costs) > _BOUND_MICROSECONDS)


def _synchronous(*, is_async: bool = False) -> dict[bool, float]:
    engine = sa.create_engine("sqlite://")
    quickest = {False: 1.0, True: 1.0}
    with engine.connect() as connection:
        engine.dialect.is_async = is_async
        for watched in (False, True) * _ROUNDS:
            _watch(watched)
            began = time.thread_time()
            for _ in range(_QUERIES):
                connection.execute(_QUERY).close()
            quickest[watched] = min(quickest[watched], (time.thread_time() - began) / _QUERIES)
        engine.dialect.is_async = False
    return quickest


async def _within_a_loop() -> dict[bool, float]:
    with allow():  # opens the connection
        return _synchronous(is_async=True)


async def _asyncpg(url: str) -> dict[bool, float]:
    engine = create_async_engine(url)
    quickest = {False: 1.0, True: 1.0}
    async with engine.connect() as connection:
        for watched in (False, True) * (_ROUNDS // 4):
            _watch(watched)
            began = time.thread_time()
            for _ in range(_QUERIES):
                (await connection.execute(_QUERY)).close()
            quickest[watched] = min(quickest[watched], (time.thread_time() - began) / _QUERIES)
    await engine.dispose()
    return quickest


def _watch(watched: bool) -> None:  # noqa: FBT001  the loops' variable
    """Let statements be as if no listener had ever been there: SQLAlchemy asks this flag before it looks for any."""
    Dialect._has_events = watched  # noqa: SLF001


def _report(engine: str, quickest: dict[bool, float]) -> float:
    without, watched = quickest[False] * 1e6, quickest[True] * 1e6
    cost = watched - without
    print(f"| {engine} | {without:.1f} µs | {watched:.1f} µs | {cost:.2f} µs | {watched / without:.3f} |", flush=True)
    return cost


if __name__ == "__main__":
    sys.exit(main())
