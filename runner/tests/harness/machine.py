"""What the machine itself adds to each time that a test measures, taken beside the test."""

import threading
import time
from types import TracebackType
from typing import Self

import psycopg

_PAUSE_SECONDS = 0.02
# A guard's look, its evidence, its cancel, the server's rollback, the answer to who waited: each is as late as one of ours.
_LATE_STEPS = 10


class Machine:
    """Watch how late things are done here: a wake-up and a question to the server, again and again."""

    def __init__(self, url: str) -> None:
        """Ask the server at ``url``."""
        self._url = url
        self._late_seconds = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def allow(self, seconds: float) -> float:
        """Return ``seconds`` and what the machine was seen to add to a run of steps since the test began."""
        return seconds + _LATE_STEPS * self._late_seconds

    def _watch(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while True:
                asked = time.monotonic()
                if self._done.wait(_PAUSE_SECONDS):
                    return
                connection.execute(b"SELECT 1")
                self._late_seconds = max(self._late_seconds, time.monotonic() - asked - _PAUSE_SECONDS)
