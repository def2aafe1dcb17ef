"""The one reason to stop that reaches a run from outside: a signal, the deadline, the stall guard, a lost lock."""

import os
import signal
import threading
from collections.abc import Callable

from sage_migrate.errors import GateError, KeyboardInterruptedError, TerminatedError
from sage_migrate.logs import log

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


def watch_signals(interruption: Interruption) -> None:
    """Take SIGTERM and SIGINT in a second thread; a second signal ends the process at once.

    A Python signal handler runs only between byte codes of the main thread, so never inside a libpq wait.
    A thread in `signal.sigwait` needs no handler. Call it before any other thread is started: they inherit
    the mask. https://docs.python.org/3/library/signal.html#signal.pthread_sigmask
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # A child (an env.py that shells out) must not inherit the mask, or nobody could stop it.
    os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS))
    threading.Thread(target=_take_signals, args=(interruption,), name="sage-migrate-signals", daemon=True).start()


def _take_signals(interruption: Interruption) -> None:
    remedy = "Run the same command again: it goes on where this run stopped."
    first = signal.sigwait(SIGNALS)
    kind = TerminatedError if first == signal.SIGTERM else KeyboardInterruptedError
    interruption.request(kind(f"{signal.Signals(first).name} arrived.", remedy=remedy))
    second = signal.sigwait(SIGNALS)
    os._exit(128 + second)
