"""Wait for something that can be seen, never for a time alone."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def until(look: Callable[[], Seen], what: str, *, timeout_seconds: float = 60) -> Seen:
    """Return what ``look`` returns as soon as that is true.

    Raises:
        AssertionError: it was not within ``timeout_seconds``.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}"
        time.sleep(0.1)
    return seen
