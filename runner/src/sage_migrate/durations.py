"""Durations as PostgreSQL writes them: a number and a unit."""

import re

# https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)\s*")


def parse_duration(text: str) -> float:
    """Return ``text`` (``250ms``, ``1s``, ``5min``) in seconds.

    A bare number is refused: PostgreSQL would read milliseconds where most people mean seconds.
    Zero and negative durations are refused too, since no limit of the gate may be switched off that way.

    Raises:
        ValueError: with a message that says what is accepted.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        msg = f"'{text}' is not a duration: write a positive number and a unit, such as 250ms, 1s or 5min"
        raise ValueError(msg)
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds < 1e-3:  # noqa: PLR2004  PostgreSQL's timeouts count in milliseconds
        msg = f"'{text}' is shorter than 1ms, and a limit of the gate cannot be switched off with 0"
        raise ValueError(msg)
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds`` for a person: ``100 ms``, ``1.5 s``, ``240 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"


def as_milliseconds(seconds: float) -> str:
    """Return ``seconds`` as the value of a PostgreSQL timeout, at least ``1ms`` (``0`` would mean none)."""
    return f"{max(1, round(seconds * 1000))}ms"
