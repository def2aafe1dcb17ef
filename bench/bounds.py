"""What the gate must reach (issue 4), checked against what was measured."""

from collections.abc import Callable, Iterator, Sequence

from bench.measurement import Measurement

STALL_BUDGET_EXCEEDED = 32
_BUDGET_AND_A_MOMENT_SECONDS = 1.0 + 0.2
_RUNNERS = 5


def missed_bounds(measurements: Sequence[Measurement]) -> list[str]:
    """Return a sentence for each bound that the gate missed."""
    return [
        f"MISSED in {each.scenario.name}: {sentence}."
        for each in measurements
        if each.contender.name == "gate"
        for sentence in (*_CHECKS[each.scenario.name](each), *_failures(each, measurements))
    ]


def _lock_queue(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, 0.15)
    yield from _at_most("p99", gate.felt.p99_seconds, 0.010)
    yield from _at_most("tries", gate.tries, 5)
    assert gate.after_reader_seconds is not None
    yield from _at_most("time after the reader's end", gate.after_reader_seconds, 1.0)
    if not gate.applied or gate.succeeded != 1:
        yield "it was not applied"


def _rewrite(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, _BUDGET_AND_A_MOMENT_SECONDS)
    if gate.applied or gate.run.exit_statuses != (STALL_BUDGET_EXCEEDED,):
        yield f"it was not refused, the exit status was {gate.run.exit_statuses[0]}"
    evidence = [event for event in gate.named("stall_budget_exceeded") if event["relation"] and event["victims"]]
    if not evidence:
        yield "it was refused without evidence"


def _three_revisions(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, 0.1)
    if not gate.applied or gate.succeeded != 1:
        yield "it was not applied"


def _five_runners(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, _BUDGET_AND_A_MOMENT_SECONDS)
    if gate.succeeded != _RUNNERS or not gate.applied:
        yield f"{gate.succeeded} of {_RUNNERS} exited with 0"
    revisions = [event["revision"] for event in gate.named("revision_applied")]
    if len(revisions) != len(set(revisions)):
        yield "a revision was applied twice"


def _sigkill(gate: Measurement) -> Iterator[str]:
    assert gate.free_after_seconds is not None
    yield from _at_most("time until the application was free", gate.free_after_seconds, 1.0)
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, _BUDGET_AND_A_MOMENT_SECONDS)
    if gate.applied:
        yield "something was committed"


def _busy(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, _BUDGET_AND_A_MOMENT_SECONDS)
    if gate.succeeded < 0.99 * gate.scenario.repeats:
        yield f"only {gate.succeeded} of {gate.scenario.repeats} runs succeeded"


def _failures(gate: Measurement, measurements: Sequence[Measurement]) -> Iterator[str]:
    """Name failed requests that bare Alembic would not have caused."""
    bare = [each for each in measurements if each.scenario == gate.scenario and each.contender.name == "alembic"]
    caused = gate.felt.failed - sum(each.felt.failed for each in bare)
    if caused > 0:
        yield f"{caused} more requests failed than with bare Alembic ({', '.join(gate.felt.failures)})"


def _at_most(what: str, measured: float, bound: float) -> Iterator[str]:
    if measured > bound:
        yield f"{what} was {measured:.3f}, the bound is {bound:g}"


def _other(gate: Measurement) -> Iterator[str]:
    yield from _at_most("maximum stall", gate.felt.maximum_stall_seconds, _BUDGET_AND_A_MOMENT_SECONDS)
    if gate.applied == bool(gate.run.exit_statuses[0]):
        yield f"the exit status {gate.run.exit_statuses[0]} does not say what was done"


_CHECKS: dict[str, Callable[[Measurement], Iterator[str]]] = {
    "lock-queue": _lock_queue,
    "rewrite": _rewrite,
    "three-revisions": _three_revisions,
    "backfill": _other,
    "thinking": _other,
    "five-runners": _five_runners,
    "sigkill": _sigkill,
    "busy": _busy,
}
