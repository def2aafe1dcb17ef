"""How long somebody has waited, although the server's clock is set meanwhile; on whose account; and when to look again."""

import ast
from pathlib import Path

import pytest
import sage_migrate
from sage_migrate.lock_waits import Lock, LockWaits, WaitClock, seconds_until_next_look

NEVER = float("inf")


def lock(pid: int, target: str = "t", mode: str = "AccessExclusiveLock", waited: float | None = None) -> Lock:
    """Return a lock that is held, or waited for since ``waited`` seconds."""
    return Lock(
        pid=pid,
        virtualtransaction=f"{pid}/1",
        mode=mode,
        granted=waited is None,
        locktype="relation",
        target=target,
        relation=target,
        waited_seconds=waited or 0.0,
        waitstart=NEVER if waited is None else 1000 - waited,
    )


def waited(clock: WaitClock, seconds: float, now: float) -> float:
    """Return how long the clock says that one wait lasts which the server says lasts ``seconds``."""
    wait = Lock(**{**vars(lock(2, waited=1.0)), "waited_seconds": seconds})
    (measured,) = clock.measure(LockWaits([wait]), now).waits_of(2)
    return measured.waited_seconds


def test_a_clock_that_runs_on() -> None:
    """Then the server's own figure counts."""
    clock = WaitClock()
    clock.measure(LockWaits([]), 100.0)
    assert waited(clock, 0.3, 100.5) == 0.3
    assert waited(clock, 0.8, 101.0) == 0.8


def test_a_clock_that_jumps_ahead() -> None:
    """Nobody can have waited since before the last look that did not show it."""
    clock = WaitClock()
    clock.measure(LockWaits([]), 100.0)
    assert waited(clock, 3600.3, 100.5) == 0.5
    assert waited(clock, 3600.8, 101.0) == 1.0


def test_a_clock_that_is_set_back() -> None:
    """Whoever was seen waiting has waited since at least then."""
    clock = WaitClock()
    clock.measure(LockWaits([]), 100.0)
    assert waited(clock, 0.3, 100.5) == 0.3
    assert waited(clock, 0.0, 101.0) == 0.5
    assert waited(clock, 0.0, 101.5) == 1.0


def test_who_waited_before_the_first_look() -> None:
    """Nothing is known from before: the server's figure counts."""
    assert waited(WaitClock(), 7.0, 100.0) == 7.0


def test_the_runner_measures_by_a_clock_that_cannot_be_set() -> None:
    """No duration of the package rests on the time of day."""
    sources = Path(sage_migrate.__file__).parent.rglob("*.py")
    calls = {
        ast.unparse(node)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert "time.time()" not in calls
    assert "time.monotonic()" in calls


def test_a_wait_counts_from_when_it_was_for_us() -> None:
    """Who has long waited for somebody else's row has waited for us no longer than that one has."""
    waits = LockWaits([
        lock(1, "t"),
        lock(2, "t", waited=0.2),
        lock(2, "row", "ExclusiveLock"),
        lock(3, "row", "ShareLock", waited=60.0),
    ])  # fmt: skip
    assert {victim.pid: victim.waited_seconds for victim in waits.victims_of(1)} == {2: 0.2, 3: 0.2}


def test_who_waits_ahead_of_us_is_no_victim() -> None:
    """A queue is served in order: only those behind us wait for us."""
    waits = LockWaits([
        lock(9, "t", "AccessShareLock"),
        lock(2, "t", "AccessExclusiveLock", waited=5.0),
        lock(1, "t", "AccessExclusiveLock", waited=1.0),
        lock(3, "t", "AccessShareLock", waited=0.5),
        lock(4, "t", "AccessShareLock", waited=3.0),
    ])  # fmt: skip
    assert [victim.pid for victim in waits.victims_of(1)] == [3]
    assert [blocker.pid for blocker in waits.blockers_of(1)] == [9, 2, 4]


def test_the_strongest_of_our_locks_is_the_one_in_the_way() -> None:
    """The evidence names the lock that matters, not the first of several."""
    waits = LockWaits([
        lock(1, "t", "AccessShareLock"),
        lock(1, "t", "ShareLock"),
        lock(2, "t", "RowExclusiveLock", waited=2.0),
    ])  # fmt: skip
    (victim,) = waits.victims_of(1)
    held = waits.held_against(1, victim)
    assert held is not None
    assert held.mode == "ShareLock"


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 0.1), (0.001, 0.1), (0.003, 0.3), (0.02, 0.5), (9.0, 0.5)])
def test_a_dear_look_is_made_less_often(cost: float, pause: float) -> None:
    """Looks take a hundredth of a core at most, as long as what is promised allows that."""
    assert seconds_until_next_look(cost, at_least=0.1, at_most=0.5) == pytest.approx(pause)
