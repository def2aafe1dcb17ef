"""Durations as PostgreSQL writes them."""

import pytest
from sage_migrate.durations import as_milliseconds, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1s", 1), (" 5 min ", 300), ("1.5h", 5400), ("2d", 172800), ("1000us", 0.001), ("1ms", 0.001)],
)
def test_what_is_accepted(text: str, seconds: float) -> None:
    """A positive number and one of PostgreSQL's units."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1 fortnight", "1S", "s", "1s 5ms", "1,5s", "inf", "nan s", "0x1s"])
def test_what_is_refused(text: str) -> None:
    """A bare number too: PostgreSQL reads milliseconds where most people mean seconds."""
    expected = f"'{text}' is not a duration: write a positive number and a unit, such as 250ms, 1s or 5min"
    with pytest.raises(ValueError, match=r".") as caught:
        parse_duration(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ["0s", "0ms", "999us", "0.0001s"])
def test_no_limit_is_switched_off(text: str) -> None:
    """PostgreSQL takes 0 for no limit, and rounds less than a millisecond to it."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_duration(text)
    assert str(caught.value) == f"'{text}' is shorter than 1ms, and a limit of the gate cannot be switched off with 0"


def test_how_it_is_written() -> None:
    """For a person, and for PostgreSQL."""
    assert [format_duration(each) for each in (0.1, 0.9994, 1, 1.5, 240)] == [
        "100 ms",
        "999 ms",
        "1 s",
        "1.5 s",
        "240 s",
    ]
    assert [as_milliseconds(each) for each in (0.0001, 0.25, 180)] == ["1ms", "250ms", "180000ms"]
