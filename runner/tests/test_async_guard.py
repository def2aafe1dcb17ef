"""The guard against synchronous calls in an event loop: what it catches, what leaves it silent, and its pytest plugin."""

import asyncio
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import greenlet
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from harness.postgres import Database
from sage_migrate.async_guard import Action, AsyncGuard, SyncInAsyncError, SyncInAsyncWarning, allow
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.async_guard("off")  # each test has a guard of its own

_HERE = Path(__file__)
_ASYNC_DRIVERS = ("asyncpg", "psycopg-async")
_ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def run_async():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"))
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(run_async())
"""
_REVISION = """
from alembic import op
revision, down_revision = "a1", None

def upgrade():
    op.execute("CREATE TABLE notes (id bigint PRIMARY KEY)")
"""


@pytest.fixture
def guard() -> Iterator[AsyncGuard]:
    """Watch, and raise."""
    with AsyncGuard() as guard:
        yield guard


@pytest.fixture
def engine(database: Database) -> Iterator[sa.engine.Engine]:
    """Make a synchronous engine whose pool has one connection."""
    engine = sa.create_engine(database.url("psycopg2", password=""), pool_size=1, max_overflow=0, pool_timeout=0.2)
    yield engine
    engine.dispose()


def _select(engine: sa.engine.Engine) -> Any:
    with engine.connect() as connection:  # here
        return connection.execute(sa.text("SELECT 1")).scalar()


def _in_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function where a loop runs."""

    async def run() -> Any:
        return function(*arguments)

    return asyncio.run(run())


def _line(text: str) -> int:
    """Return the number of the first line of this file that has ``text``."""
    return next(
        number for number, line in enumerate(_HERE.read_text().splitlines(), 1) if line.startswith(f"    {text}")
    )


def _message(what: str, function: str, line: int) -> str:
    path = _HERE.relative_to(Path.cwd()) if _HERE.is_relative_to(Path.cwd()) else _HERE
    return (
        f"{path}:{line} ({function}) {what} synchronously in a thread with a running event loop: "
        "nothing else in that loop runs until the database has answered. "
        "Instead: use create_async_engine() and await, or hand the whole function to asyncio.to_thread()."
    )


def test_statement_in_a_loop_raises_and_names_the_line(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """A statement on a connection of the pool is refused before it is sent."""
    _select(engine)
    with pytest.raises(SyncInAsyncError) as raised:
        _in_loop(_select, engine)
    line = _line("    return connection.execute(")
    assert str(raised.value) == _message("executes a statement on postgresql+psycopg2", "_select", line)


def test_connecting_in_a_loop_raises(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """An empty pool opens a connection: that is refused before the driver is called."""
    with pytest.raises(SyncInAsyncError) as raised:
        _in_loop(_select, engine)
    line = _line("with engine.connect() as connection:  # here")
    assert str(raised.value) == _message("opens a connection on postgresql+psycopg2", "_select", line)


def test_waiting_for_the_pool_in_a_loop_raises(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """A pool whose connections are all taken is not waited for; without a loop it is, as ever."""
    with engine.connect():
        with pytest.raises(SyncInAsyncError) as raised:
            _in_loop(_select, engine)
        with pytest.raises(sa.exc.TimeoutError):
            _select(engine)
    line = _line("with engine.connect() as connection:  # here")
    assert str(raised.value) == _message("waits for a connection of its pool", "_select", line)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg-sync"])
def test_every_way_of_executing_is_caught(database: Database, guard: AsyncGuard, driver: str) -> None:
    """One set of parameters, many, none, SQL for the driver itself, and the ORM's session."""
    engine = sa.create_engine(database.url(driver.removesuffix("-sync"), password=""))
    ways: tuple[Callable[[Any], Any], ...] = (
        lambda connection: connection.execute(sa.text("SELECT :a"), {"a": 1}),
        lambda connection: connection.execute(
            sa.text("DELETE FROM pg_class WHERE relname = :a"), [{"a": "a"}, {"a": "b"}]
        ),
        lambda connection: connection.exec_driver_sql("SELECT 1"),
        lambda connection: connection.execution_options(no_parameters=True).exec_driver_sql("SELECT 1"),
        lambda connection: sa.orm.Session(connection).execute(sa.text("SELECT 1")),
    )
    with engine.connect() as connection:
        for way in ways:
            with pytest.raises(SyncInAsyncError):
                _in_loop(way, connection)
            way(connection)
    engine.dispose()


def test_synchronous_engine_within_run_sync_is_caught(
    database: Database, engine: sa.engine.Engine, guard: AsyncGuard
) -> None:
    """The greenlet of an async engine is no shelter for a synchronous one: the loop stops all the same."""

    async def run() -> None:
        asynchronous = create_async_engine(database.url("asyncpg", password=""))
        try:
            async with asynchronous.connect() as connection:
                await connection.run_sync(lambda _: _select(engine))
        finally:
            await asynchronous.dispose()

    _select(engine)
    with pytest.raises(SyncInAsyncError, match=r"\(_select\) executes a statement on postgresql\+psycopg2"):
        asyncio.run(run())


@pytest.mark.parametrize("driver", _ASYNC_DRIVERS)
def test_async_engines_are_silent(database: Database, guard: AsyncGuard, driver: str) -> None:
    """Statements, `run_sync`, a wait for the pool: an async engine's own greenlets stop nobody."""

    async def run() -> None:
        engine = create_async_engine(
            database.url(driver.removesuffix("-async"), password=""), pool_size=1, max_overflow=0, pool_pre_ping=True
        )

        async def select() -> None:
            async with engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
                await connection.run_sync(lambda it: it.execute(sa.text("SELECT 2")).scalar())

        await asyncio.gather(select(), select(), select())
        await engine.dispose()

    asyncio.run(run())
    assert not guard.calls


def test_threads_are_silent(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """A worker thread has no loop; a loop in one thread is nothing to another, nor to code after a loop has ended."""

    async def run() -> Any:
        return await asyncio.to_thread(_select, engine)

    assert asyncio.run(run()) == 1
    done = threading.Event()
    started = threading.Event()

    async def idle() -> None:
        started.set()
        await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(idle(),))
    thread.start()
    started.wait()
    assert _select(engine) == 1
    done.set()
    thread.join()
    assert not guard.calls


def test_loop_kept_in_another_greenlet_is_silent(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """Playwright's synchronous API leaves its loop running in a greenlet while the test goes on: nothing is stopped."""
    main = greenlet.getcurrent()

    async def dispatch() -> None:
        main.switch()

    dispatcher = greenlet.greenlet(lambda: asyncio.run(dispatch()))
    dispatcher.switch()
    assert asyncio._get_running_loop() is not None
    assert _select(engine) == 1
    dispatcher.switch()
    assert not guard.calls


def test_alembic_is_silent(database: Database, guard: AsyncGuard, tmp_path: Path) -> None:
    """An env.py with `asyncio.run` and `run_sync`, called from no loop or from a thread beside one."""
    (tmp_path / "env.py").write_text(_ASYNC_ENV)
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "a1.py").write_text(_REVISION)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("sqlalchemy.url", database.url("asyncpg", password=""))
    command.upgrade(config, "head")

    async def run() -> None:
        await asyncio.to_thread(command.current, config)

    asyncio.run(run())
    assert not guard.calls


def test_warn_points_at_the_line(engine: sa.engine.Engine) -> None:
    """The warning carries the user's file and line, so that Python's own filters apply; the statement is executed."""
    with AsyncGuard("warn"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _select(engine)
        assert _in_loop(_select, engine) == 1
    (warning,) = caught
    assert warning.category is SyncInAsyncWarning
    assert (warning.filename, warning.lineno) == (str(_HERE), _line("    return connection.execute("))


@pytest.mark.parametrize(("action", "counted"), [("count", 2), ("off", 0)])
def test_count_and_off_let_pass(engine: sa.engine.Engine, action: Action, counted: int) -> None:
    """Both leave the program as it is; counting tells how often each line has blocked."""
    _select(engine)
    with AsyncGuard(action) as guard:
        for _ in range(2):
            assert _in_loop(_select, engine) == 1
    assert sum(guard.calls.values()) == counted
    assert len(guard.calls) == (1 if counted else 0)


def test_allow_lets_pass(engine: sa.engine.Engine, guard: AsyncGuard) -> None:
    """What is meant to block says so where it does."""
    with allow():
        assert _in_loop(_select, engine) == 1
    with pytest.raises(SyncInAsyncError):
        _in_loop(_select, engine)


def test_stopped_guard_leaves_nothing(engine: sa.engine.Engine) -> None:
    """After `stop` a loop may block again; two guards do not disturb each other."""
    first, second = AsyncGuard().start(), AsyncGuard("count").start()
    first.stop()
    assert _in_loop(_select, engine) == 1
    second.stop()
    with engine.connect(), pytest.raises(sa.exc.TimeoutError):
        _in_loop(_select, engine)
    assert {call.what for call in second.calls} == {
        "opens a connection on postgresql+psycopg2",
        "executes a statement on postgresql+psycopg2",
    }


_PROJECT = """
import asyncio
import pytest
import sqlalchemy as sa

engine = sa.create_engine("sqlite://")

async def block():
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))

@pytest.fixture
def blocking_fixture():
    asyncio.run(block())

def test_plain():
    asyncio.run(block())

def test_fixture(blocking_fixture):
    pass

@pytest.mark.async_guard("off")
def test_marked():
    asyncio.run(block())

def test_without_a_loop():
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
"""


def _pytest(directory: Path, *arguments: str) -> tuple[int, str]:
    (directory / "test_project.py").write_text(_PROJECT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_plugin_raises_by_default(tmp_path: Path) -> None:
    """Installed, and nothing configured: tests and fixtures that block a loop fail, and name the line."""
    _, printed = _pytest(tmp_path)
    assert re.search(r"1 failed, 2 passed, 1 error in", printed), printed
    assert "SyncInAsyncError: test_project.py:9 (block) opens a connection on sqlite+pysqlite synchronously" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--async-guard", "off"), "4 passed in"),
        (("-o", "async_guard=warn"), "4 passed, 3 warnings in"),
        (("-p", "no:sage_migrate"), "'async_guard' not found in `markers` configuration option"),
        (("-o", "async_guard=loud"), "The setting async_guard is 'loud'. Use one of: raise, warn, count, off."),
    ],
)
def test_plugin_is_configured(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    """By option, by setting, or left out (then its marker is nobody's); what is not known is refused."""
    _, printed = _pytest(tmp_path, *arguments)
    assert expected in printed, printed
