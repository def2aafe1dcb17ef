"""The results as Markdown."""

from collections.abc import Sequence
from itertools import groupby

from bench.live_load import Summary
from bench.measurement import Measurement

_LONG_SECONDS = 1
_INTRODUCTION = """# What the application felt

{circumstances} Without any migration the application felt a maximum stall of {stall} and a p99 of {p99}: the machine's
own share in each figure below. How it was measured, and how to measure it again: [bench](../../bench/README.md).

![How long requests had been waiting](stalls.svg)

Each row of the plot is a scenario, with one scale: grey is the time for which the tool ran, red is how long the
longest-waiting request had been waiting.
"""
_HEADER = """| | maximum stall | p99 | failed requests | outcome | time taken | tries |
|---|---|---|---|---|---|---|"""


def render(measurements: Sequence[Measurement], at_rest: Summary, circumstances: str) -> str:
    """Return a table for each scenario."""
    sections = [
        _INTRODUCTION.format(
            circumstances=circumstances,
            stall=_duration(at_rest.maximum_stall_seconds),
            p99=_duration(at_rest.p99_seconds),
        )
    ]
    for scenario, group in groupby(measurements, lambda each: each.scenario):
        rows = "\n".join(_row(each) for each in group)
        sections.append(f"## {scenario.title}\n\n{_HEADER}\n{rows}\n")
    return "\n".join(sections)


def describe(each: Measurement) -> str:
    """Return one line for the terminal."""
    return f"{each.scenario.name}/{each.contender.name}: {_row(each)} {each.felt} exit statuses {set(each.run.exit_statuses)}"


def _row(each: Measurement) -> str:
    cells = (
        each.contender.title,
        _duration(each.felt.maximum_stall_seconds),
        _duration(each.felt.p99_seconds),
        f"{each.felt.failed} of {each.felt.requests}",
        _outcome(each),
        f"{each.run.seconds:.1f} s",
        f"{each.tries}",
    )
    return f"| {' | '.join(cells)} |"


def _outcome(each: Measurement) -> str:
    if each.free_after_seconds is not None:
        return f"app free after {each.free_after_seconds:.1f} s, {'COMMITTED' if each.applied else 'nothing committed'}"
    runs = len(each.run.exit_statuses)
    if runs > 1:
        return f"exit 0: {each.succeeded} of {runs}, {'applied' if each.applied else 'not applied'}"
    if not each.applied:
        return f"not applied, exit {each.run.exit_statuses[0]}"
    after = each.after_reader_seconds
    return "applied" if after is None else f"applied {max(0.0, after):.1f} s after the reader's end"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= _LONG_SECONDS else f"{1000 * seconds:.0f} ms"
