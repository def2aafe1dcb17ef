"""Turns the async guard on while tests run; ``-p no:sage_migrate`` leaves this plugin out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sage_migrate.async_guard import Action, AsyncGuard

_ACTIONS: tuple["Action", ...] = ("raise", "warn", "count", "off")
_GUARD: pytest.StashKey["AsyncGuard"] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the option and the setting."""
    about = "what a synchronous database call in an event loop does to a test: raise (default), warn, count or off"
    parser.getgroup("sage-migrate").addoption("--async-guard", choices=_ACTIONS, help=about)
    parser.addini("async_guard", about, default="raise")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker and refuse a setting that means nothing."""
    config.addinivalue_line("markers", f"async_guard(action): {', '.join(_ACTIONS)}, for this test alone")
    _checked(config.getini("async_guard"), "The setting async_guard")


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
