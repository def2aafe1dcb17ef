"""Catches synchronous database calls that stop an event loop, by SQLAlchemy's own events, with any driver.

::

    from sage_migrate.async_guard import AsyncGuard

    AsyncGuard("warn").start()  # or: with AsyncGuard("raise"): ...

Needs SQLAlchemy alone, 1.4 to 2.1. What counts is the dialect and the stack, not the driver's name or the greenlet: an
async engine's dialect says so itself, and a loop that is not below this call on the stack is not stopped by it.
"""

import sys
import sysconfig
import threading
import warnings
from asyncio import _get_running_loop
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self, get_args

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.util.queue import Queue

Action = Literal["raise", "warn", "count", "off"]
ACTIONS: tuple[Action, ...] = get_args(Action)

_ASYNC_CODE = CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR
_LOOPS = ("asyncio", "uvloop")
_PLUMBING = ("sqlalchemy", "greenlet", *_LOOPS, __name__, "sage_migrate.statement_recorder")
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

_allowed: ContextVar[bool] = ContextVar("sage_migrate_async_guard_allowed", default=False)


class SyncInAsyncError(RuntimeError):
    """A synchronous database call was about to stop an event loop."""


class SyncInAsyncWarning(RuntimeWarning):
    """A synchronous database call stopped an event loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockingCall:
    """A line of user code, and what it did there."""

    what: str
    path: str
    line: int
    function: str

    def __str__(self) -> str:
        """Say what happened, its effect, and what to do."""
        return (
            f"{self.path}:{self.line} ({self.function}) {self.what} synchronously in a thread with a running event loop: "
            "nothing else in that loop runs until the database has answered. "
            "Instead: use create_async_engine() and await, or hand the whole function to asyncio.to_thread()."
        )


@contextmanager
def allow() -> Iterator[None]:
    """Let synchronous calls pass within ``with``, and in what is called there: write down why."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


class AsyncGuard:
    """Watches every engine of this process, those that exist and those to come, from `start` to `stop`."""

    def __init__(self, action: Action = "raise") -> None:
        """Choose what a blocking call brings about; ``action`` may be changed at any time."""
        self.action: Action = action
        self.calls: Counter[BlockingCall] = Counter()
        """How often each line has blocked, whatever the action."""
        self.started = False
        self._counting = threading.Lock()
        self._stop_watching_waits: Callable[[], None] = lambda: None

    def start(self) -> Self:
        """Listen."""
        if not self.started:
            for name, listener in self._listeners():
                event.listen(Engine, name, listener)
            self._stop_watching_waits = self._watch_waits()
            self.started = True
        return self

    def stop(self) -> None:
        """Listen no longer."""
        if self.started:
            self.started = False
            self._stop_watching_waits()
            for name, listener in self._listeners():
                event.remove(Engine, name, listener)

    def __enter__(self) -> Self:
        """Listen."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no longer."""
        self.stop()

    # The dialect's events rather than the engine's `before_cursor_execute`: one engine event makes SQLAlchemy prepare
    # the arguments of all of them, for each statement.
    def _listeners(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("do_connect", self._on_connect),
            ("do_execute", self._on_execute),
            ("do_executemany", self._on_execute),
            ("do_execute_no_params", self._on_execute_no_params),
        )

    def _on_execute(self, _cursor: Any, _statement: str, _parameters: Any, context: Any) -> None:
        if _get_running_loop() is not None and not context.dialect.is_async:
            self._meet("executes a statement", context.dialect)

    def _on_execute_no_params(self, _cursor: Any, _statement: str, context: Any) -> None:
        if _get_running_loop() is not None and not context.dialect.is_async:
            self._meet("executes a statement", context.dialect)

    def _on_connect(self, dialect: Any, _record: Any, _arguments: Any, _keywords: Any) -> None:
        if _get_running_loop() is not None and not dialect.is_async:
            self._meet("opens a connection", dialect)

    def _watch_waits(self) -> Callable[[], None]:
        """Wrap the wait of `QueuePool`, for which SQLAlchemy has no event; async pools have another queue."""
        wait = Queue.get

        def get(queue: Any, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002  SQLAlchemy's signature
            if block and timeout != 0 and self.started and _get_running_loop() is not None and queue.empty():
                self._meet("waits for a connection of its pool")
            return wait(queue, block, timeout)

        def unwrap() -> None:
            if Queue.get is get:  # else somebody wrapped ours, which does nothing any more
                Queue.get = wait  # type: ignore[method-assign]

        Queue.get = get  # type: ignore[method-assign, assignment]
        return unwrap

    def _meet(self, what: str, dialect: Any = None) -> None:
        if self.action == "off" or _allowed.get():
            return
        stack = tuple(call_stack())
        if not any(_runs_a_loop(frame) for frame in stack):
            return
        frame = user_frame(stack)
        call = BlockingCall(
            what=f"{what} on {dialect.name}+{dialect.driver}" if dialect else what,
            path=_shown(frame.f_code.co_filename),
            line=frame.f_lineno,
            function=frame.f_code.co_qualname,
        )
        with self._counting:
            self.calls[call] += 1
        if self.action == "raise":
            raise SyncInAsyncError(str(call))
        if self.action == "warn":
            # At the user's line, so that Python's filters show each line once, or as they are told.
            registry = frame.f_globals.setdefault("__warningregistry__", {})
            warnings.warn_explicit(
                str(call), SyncInAsyncWarning, frame.f_code.co_filename, frame.f_lineno, registry=registry
            )


def call_stack() -> Iterator[FrameType]:
    """Yield the frames below, innermost first, through the greenlets that this one returns to."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  what it is for
    greenlets = sys.modules.get("greenlet")
    greenlet = greenlets.getcurrent() if greenlets else None
    while True:
        while frame is not None:
            yield frame
            frame = frame.f_back
        greenlet = greenlet.parent if greenlet is not None else None
        if greenlet is None:
            return
        frame = greenlet.gr_frame


def _runs_a_loop(frame: FrameType) -> bool:
    """Return whether a loop waits for this frame; Playwright's, for one, is kept in another greenlet meanwhile."""
    return bool(frame.f_code.co_flags & _ASYNC_CODE) or _package(frame) in _LOOPS


def user_frame(stack: tuple[FrameType, ...]) -> FrameType:
    """Return the innermost frame that is neither a library's nor Python's own; else the innermost outside SQLAlchemy."""
    outside = [frame for frame in stack if not {_package(frame), frame.f_globals.get("__name__")} & {*_PLUMBING}]
    users = (frame for frame in outside if not _is_library(frame.f_code.co_filename))
    return next(users, (outside or stack)[0])


def _is_library(filename: str) -> bool:
    return filename.startswith(("<", *_LIBRARIES)) or "site-packages" in filename or "dist-packages" in filename


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _shown(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
