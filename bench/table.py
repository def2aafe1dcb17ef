"""The results as Markdown."""

from collections.abc import Sequence
from itertools import groupby

from bench.measurement import Measurement

_HEADER = """| | maximum stall | p99 | failed requests | outcome | time taken | tries |
|---|---|---|---|---|---|---|"""


def render(measurements: Sequence[Measurement], circumstances: str) -> str:
    """Return a table for each scenario."""
    late_ms = 1000 * max(each.felt.late_seconds for each in measurements)
    sections = [
        f"{circumstances} The application's own process was late by at most {late_ms:.0f} ms: the figures' error.\n"
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
        f"{each.felt.maximum_stall_seconds:.2f} s",
        f"{1000 * each.felt.p99_seconds:.1f} ms",
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
