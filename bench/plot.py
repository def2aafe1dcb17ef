"""Draw how long the application's requests had been waiting, at each moment of each run."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.measurement import Measurement
from bench.migration_run import MigrationRun

_STEP_SECONDS = 0.1
_BEFORE_SECONDS = 1.0
_CORNER = 0.02
_WAITS = "#c0392b"
_TIME = "#7f8c8d"


def draw(measurements: Sequence[Measurement], file: Path) -> None:
    """Write a grid of small plots: a row for each scenario, a column for each tool, the same scales along a row."""
    scenarios = list(dict.fromkeys(each.scenario for each in measurements if each.scenario.repeats == 1))
    contenders = list(dict.fromkeys(each.contender for each in measurements))
    figure = Figure(figsize=(2.4 * len(contenders), 1.6 * len(scenarios)), layout="constrained")
    grid = figure.subplots(len(scenarios), len(contenders), squeeze=False, sharex="row", sharey="row")
    for each in measurements:
        if each.scenario in scenarios:
            _draw_run(grid[scenarios.index(each.scenario)][contenders.index(each.contender)], each)
    for axes, contender in zip(grid[0], contenders, strict=True):
        axes.set_title(contender.title, fontsize=9)
    for row, scenario in zip(grid, scenarios, strict=True):
        row[0].set_ylim(bottom=0)
        row[0].set_ylabel(f"{scenario.name}\nwaiting, s", fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("seconds since the migration's start", fontsize=7)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif"}):
        figure.savefig(file, metadata={"Date": None})


def _draw_run(axes: Axes, each: Measurement) -> None:
    moments, waits = _longest_waits(each.run)
    axes.fill_between(moments, waits, color=_WAITS, linewidth=0)
    axes.axvspan(0, each.run.seconds, color=_TIME, alpha=0.15, linewidth=0)
    axes.annotate(
        f"{each.felt.maximum_stall_seconds:.2f} s\n{'applied' if each.applied else 'not applied'}",
        (0.03, 0.95),
        xycoords="axes fraction",
        ha="left",
        va="top",
        fontsize=8,
        color=_WAITS,
    )
    axes.tick_params(labelsize=6)
    axes.locator_params(nbins=4)
    axes.spines[["top", "right"]].set_visible(False)


def _longest_waits(run: MigrationRun) -> tuple[list[float], list[float]]:
    """Return moments, and for how long the longest-waiting request had been waiting at each; corners only, for a small file."""
    count = round(
        (max(sent + latency for sent, latency in run.felt.requests) - run.started + _BEFORE_SECONDS) / _STEP_SECONDS
    )
    waits = [0.0] * (count + 1)
    for sent, latency in run.felt.requests:
        begin = sent - run.started + _BEFORE_SECONDS
        for step in range(max(0, int(begin / _STEP_SECONDS)), min(count, int((begin + latency) / _STEP_SECONDS)) + 1):
            waited = min(latency, (step + 1) * _STEP_SECONDS - begin)
            waits[step] = max(waits[step], waited)
    corners = [
        step
        for step in range(count + 1)
        if step in (0, count) or abs(waits[step - 1] + waits[step + 1] - 2 * waits[step]) > _CORNER
    ]
    return [step * _STEP_SECONDS - _BEFORE_SECONDS for step in corners], [waits[step] for step in corners]
