"""Turns the async guard on while tests run, and records statements if asked; ``-p no:sage_migrate`` leaves this plugin out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sage_migrate.async_guard import Action, AsyncGuard
    from sage_migrate.statement_recorder import StatementRecorder

_ACTIONS: tuple["Action", ...] = ("raise", "warn", "count", "off")
_GUARD: pytest.StashKey["AsyncGuard"] = pytest.StashKey()
_RECORDER: pytest.StashKey["StatementRecorder"] = pytest.StashKey()
_WORKERS_WORD = "sage_migrate_statements"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the option and the setting."""
    about = "what a synchronous database call in an event loop does to a test: raise (default), warn, count or off"
    group = parser.getgroup("sage-migrate")
    group.addoption("--async-guard", choices=_ACTIONS, help=about)
    group.addoption(
        "--record-statements",
        metavar="FILE",
        type=Path,
        help="write what the tests say to PostgreSQL there, for `sage-migrate trace --old-statements FILE`",
    )
    parser.addini("async_guard", about, default="raise")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker and refuse a setting that means nothing."""
    config.addinivalue_line("markers", f"async_guard(action): {', '.join(_ACTIONS)}, for this test alone")
    _checked(config.getini("async_guard"), "The setting async_guard")
    if config.getoption("--record-statements"):
        from sage_migrate.statement_recorder import StatementRecorder

        config.stash[_RECORDER] = StatementRecorder().__enter__()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker of pytest-xdist has recorded."""
    if recorder := node.config.stash.get(_RECORDER, None):
        recorder.add(getattr(node, "workeroutput", {}).get(_WORKERS_WORD, ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was recorded, or hand it to the process that started this worker."""
    if recorder := session.config.stash.get(_RECORDER, None):
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is None:
            recorder.write(session.config.getoption("--record-statements"))
        else:
            output[_WORKERS_WORD] = recorder.statements


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a marker that means nothing."""
    for item in items:
        _action(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch a test with its fixtures, and nothing between tests."""
    action = _action(item)
    if action == "off":
        yield
        return
    # Started once, since other threads may be executing; and late, since not every project's tests need SQLAlchemy.
    from sage_migrate.async_guard import AsyncGuard

    guard = item.config.stash.setdefault(_GUARD, AsyncGuard("off")).start()
    guard.action = action
    yield
    guard.action = "off"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop watching."""
    if guard := config.stash.get(_GUARD, None):
        guard.stop()
    if recorder := config.stash.get(_RECORDER, None):
        recorder.__exit__(None, None, None)


def _action(item: pytest.Item) -> "Action":
    if marker := item.get_closest_marker("async_guard"):
        return _checked(str(marker.args[0]) if marker.args else "", f"The marker async_guard of {item.nodeid}")
    option: Action | None = item.config.getoption("async_guard")
    return option or _checked(item.config.getini("async_guard"), "The setting async_guard")


def _checked(action: str, where: str) -> "Action":
    for known in _ACTIONS:
        if action == known:
            return known
    raise pytest.UsageError(f"{where} is '{action}'. Use one of: {', '.join(_ACTIONS)}.")
