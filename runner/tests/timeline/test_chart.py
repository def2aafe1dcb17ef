"""The chart's parts: its axis, its lanes, which locks are worth a word, and how numbers are spelled."""

from dataclasses import replace
from itertools import pairwise

import pytest
from sage_migrate.timeline.axis import Axis
from sage_migrate.timeline.chart import draw_chart
from sage_migrate.timeline.lanes import choose_lanes
from sage_migrate.timeline.lock_modes import Effect, effect_of, spell_mode
from sage_migrate.timeline.words import count, enumerate_names, ordinal, spell_budget, spell_seconds
from timeline.example import example, lock, revision, stall, statement


def test_a_long_pause_is_folded() -> None:
    """A pause in which nothing happens takes a fixed width, and time is linear on both sides of it."""
    axis = Axis([(1.0, 1.5), (21.5, 22.0)], 1000)
    (gap,) = axis.gaps
    assert (gap.start, gap.end) == (1.5, 21.5)
    assert axis.x(1.0) == 0
    assert axis.x(22.0) == pytest.approx(1000)
    assert axis.x(1.25) == pytest.approx(gap.left / 2)
    assert gap.right - gap.left == pytest.approx(92)
    assert axis.x(10) == gap.right


def test_a_short_pause_is_drawn() -> None:
    """What is short beside the work is drawn as long as it was."""
    assert Axis([(0, 5), (5.3, 10)], 1000).gaps == []


def test_many_pauses_leave_room() -> None:
    """However many pauses are folded, they take less than half of the width."""
    axis = Axis([(second, second + 0.1) for second in range(0, 100, 2)], 1000)
    assert sum(gap.right - gap.left for gap in axis.gaps) == pytest.approx(400)


def test_what_is_short_looks_short() -> None:
    """A run of ten milliseconds does not fill the page."""
    assert Axis([(0.2, 0.21)], 900).x(0.21) == pytest.approx(30)


def test_ticks_are_round() -> None:
    """Ticks stand at round moments of the run, apart enough to be read."""
    ticks = Axis([(0.13, 2.2)], 1000).ticks()
    assert [text for _, text in ticks] == [f"{tenths / 10:.1f} s" for tenths in range(2, 23, 2)]
    positions = [position for position, _ in ticks]
    assert all(after - before > 49 for before, after in pairwise(positions))


def test_lanes_in_the_order_of_locking() -> None:
    """A relation gets a lane when its lock can hold somebody up, or when it did."""
    ordinary = lock("read", 0.1, 1, "AccessShareLock")
    late, early = lock("late", 0.5, 0.5), lock("early", 0.2, 0.8, "ShareLock")
    one = replace(
        revision("a1", 0.1, 1, statement("…", 0.1, 1, ordinary, late, early)),
        stalls=(stall("row", 0.3, 0.1, "…", sessions=1, names=(), queued=False),),
    )
    assert choose_lanes([one]) == (["early", "row", "late"], [])


def test_what_a_stronger_lock_covers_is_no_news() -> None:
    """A weaker lock on the same relation, and one on an index of its table, say nothing new; in a JSON they stay."""
    strong = lock("orders", 0.2, 1)
    weaker = lock("orders", 0.3, 0.9, "ShareLock")
    index = replace(lock("orders_pkey", 0.2, 1), table="orders")
    before = lock("orders", 0.1, 1.1, "RowExclusiveLock")
    other = replace(lock("events_pkey", 0.2, 1), table="events")
    one = revision("a1", 0.1, 1.1, statement("…", 0.1, 1, before, strong, weaker, index, other))
    assert one.telling_locks == (before, strong, other)
    assert one.telling_locks_of(one.statements[0]) == [strong, other, before]


def test_long_names_take_two_lines() -> None:
    """A name of a schema and a table of 63 letters each is cut in its second line alone, and whole on hovering."""
    name = f"{'s' * 63}.{'t' * 63}"
    chart = draw_chart([revision("a1", 0, 1, statement("…", 0, 1, lock(name, 0, 1)))], identifier="x", title="x")
    assert chart is not None
    assert f"<title>{name}</title>" in chart.svg
    assert chart.svg.count("<tspan") == 4
    assert "…t" in chart.svg


def test_nothing_to_draw() -> None:
    """Revisions that executed nothing have no chart."""
    assert draw_chart([revision("a1", 0, 1)], identifier="x", title="x") is None


def test_statements_lead_to_their_rows() -> None:
    """A statement of the chart is a link to its row, counted through the run."""
    second = example().revisions[1]
    chart = draw_chart([second], identifier="x", title="x", first=1)
    assert chart is not None
    assert '<a href="#s2-1" ' in chart.svg


@pytest.mark.parametrize(
    ("mode", "spelled", "effect"),
    [
        ("AccessShareLock", "ACCESS SHARE", Effect.ORDINARY),
        ("RowExclusiveLock", "ROW EXCLUSIVE", Effect.ORDINARY),
        ("ShareUpdateExclusiveLock", "SHARE UPDATE EXCLUSIVE", Effect.SCHEMA),
        ("ShareLock", "SHARE", Effect.WRITES),
        ("ShareRowExclusiveLock", "SHARE ROW EXCLUSIVE", Effect.WRITES),
        ("AccessExclusiveLock", "ACCESS EXCLUSIVE", Effect.EVERYTHING),
    ],
)
def test_modes(mode: str, spelled: str, effect: Effect) -> None:
    """A mode is spelled as in SQL, and grouped by whom it holds up."""
    assert (spell_mode(mode), effect_of(mode)) == (spelled, effect)


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0.0004, "0.4 ms"),
        (0.0042, "4 ms"),
        (0.0997, "0.10 s"),
        (1.0249, "1.02 s"),
        (9.996, "10.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (200.4, "3 min 20 s"),
    ],
)
def test_durations(seconds: float, spelled: str) -> None:
    """A duration has the digits that count."""
    assert spell_seconds(seconds) == spelled


def test_words() -> None:
    """Settings, counts, lists and ordinals read as a person writes them."""
    assert [spell_budget(each) for each in (0.1, 1.0, 1.5, 180.0)] == ["100 ms", "1 s", "1.5 s", "3 min"]
    assert [count(each, "session") for each in (0, 1, 1200)] == ["0 sessions", "1 session", "1,200 sessions"]
    assert enumerate_names(["a", "b", "c"]) == "a, b and c"
    assert enumerate_names([str(number) for number in range(9)]) == "0, 1, 2, 3, 4 and 4 more"
    assert [ordinal(each) for each in (1, 2, 3, 4, 11, 22)] == ["1st", "2nd", "3rd", "4th", "11th", "22nd"]
