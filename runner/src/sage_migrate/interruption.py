"""The one reason to stop that reaches a run from outside: a signal, the deadline, the stall guard, a lost lock."""

import os
import signal
import threading
from collections.abc import Callable

from sage_migrate.errors import GateError, KeyboardInterruptedError, TerminatedError
from sage_migrate.logs import log

# Less than Kubernetes' default grace period of 30 s, so that the reason is still written.
ABANDON_SECONDS = 15
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class Interruption:
    """Hold the first error that was requested, and tell those who can act on it. Safe among threads."""

    def __init__(self) -> None:
        """Begin with no request."""
        self.error: GateError | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []

    def request(self, error: GateError) -> None:
        """Ask the run to stop with ``error``. Only the first request counts."""
        with self._lock:
            if self.error is not None:
                return
            self.error = error
            listeners = list(self._listeners)
        log.warning("stop_requested", error=type(error).__name__, reason=error.what)
        for listener in listeners:
            listener()

    def check(self) -> None:
        """Raise the requested error, if there is one."""
        if self.error is not None:
            raise self.error

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call ``listener`` at the request, at once if it was made already; return how to unsubscribe."""
        with self._lock:
            self._listeners.append(listener)
            requested = self.error is not None
        if requested:
            listener()
        return lambda: self._listeners.remove(listener)


def signalled(number: int) -> GateError:
    """Return the reason to stop that a signal is."""
    kind = TerminatedError if number == signal.SIGTERM else KeyboardInterruptedError
    remedy = "Run the same command again: it goes on where this run stopped."
    return kind(f"{signal.Signals(number).name} arrived.", remedy=remedy)


def watch_signals(interruption: Interruption) -> None:
    """Take SIGTERM and SIGINT in a second thread; a second signal ends the process at once.

    A Python signal handler runs only between byte codes of the main thread, so never inside a libpq wait. The
    wakeup descriptor is written by the C handler, at once. Blocking the signals for a thread in `sigwait` would
    do too, but every process that env.py starts would inherit the mask, and nobody could stop it.
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    if threading.current_thread() is not threading.main_thread():
        return  # run inside a program, whose signals they are: only its main thread may set handlers
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    threading.Thread(
        target=_take_signals, args=(interruption, reading), name="sage-migrate-signals", daemon=True
    ).start()


def _take_signals(interruption: Interruption, reading: int) -> None:
    interruption.request(signalled(_next_signal(reading)))
    os._exit(128 + _next_signal(reading))


def _next_signal(reading: int) -> int:
    """Return the next signal that is ours; env.py may handle others, which are written here as well."""
    while (number := os.read(reading, 1)[0]) not in SIGNALS:
        pass
    return number
