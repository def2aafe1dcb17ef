"""Numbers and names for a person, the same in every format."""

from collections.abc import Sequence

_MINUTE = 60
NONE = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


def spell_seconds(seconds: float) -> str:
    """Return a duration with two or three digits that count: ``4 ms``, ``0.10 s``, ``20.4 s``, ``3 min 20 s``."""
    if seconds < 0.0995:  # noqa: PLR2004  from there on two decimals tell as much
        milliseconds = seconds * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 0.95 else f"{milliseconds:.1f} ms"  # noqa: PLR2004
    if seconds < 9.995:  # noqa: PLR2004
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def spell_moment(seconds: float) -> str:
    """Return a moment of the run, in seconds from its start."""
    return f"{seconds:.3f} s"


def spell_budget(seconds: float) -> str:
    """Return a setting as it was given, without zeros that say nothing: ``1 s``, ``100 ms``, ``3 min``."""
    if seconds >= _MINUTE:
        return spell_seconds(seconds)
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def count(number: int, noun: str) -> str:
    """Return ``1 session``, ``2 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def enumerate_names(names: Sequence[str], *, most: int = 5) -> str:
    """Return ``a, b and c``, and of a long list the first ones and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``23rd``."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
