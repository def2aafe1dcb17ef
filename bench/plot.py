"""Draw how long the application's requests had been waiting, at each moment of each run, as SVG."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from bench.measurement import Measurement
from bench.migration_run import MigrationRun

# In pixels: one small plot, what is left of the first and above it, and the space between two.
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 190, 90, 150, 40, 14
_STEP_SECONDS = 0.1
_BEFORE_SECONDS = 1.0
# A wait that changes its pace by less is no corner: 20 s of even waiting take two points, not two hundred.
_CORNER_SECONDS = 0.02
# Milliseconds must not fill a plot because all tools did well.
_LOWEST_SCALE_SECONDS = 1.0
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#333}.title{font-weight:600}.axis{fill:#777;font-size:9px}"
    ".run{fill:#eceff1}.base{stroke:#999}.wait{fill:#c0392b}.stall{fill:#c0392b}"
)


def draw(measurements: Sequence[Measurement], file: Path) -> None:
    """Write a grid of small plots: a row for each scenario, a column for each tool, the same scales along a row."""
    drawn = [each for each in measurements if each.scenario.repeats == 1]
    rows = list(dict.fromkeys(each.scenario for each in drawn))
    columns = list(dict.fromkeys(each.contender for each in drawn))
    width, height = _LEFT + len(columns) * (_WIDTH + _GAP), _TOP + len(rows) * (_HEIGHT + 2 * _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        "<title>How long requests had been waiting, while each tool migrated</title>",
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
        *(_text(_LEFT + n * (_WIDTH + _GAP), 16, each.title, "title") for n, each in enumerate(columns)),
    ]
    for row, scenario in enumerate(rows):
        plots = [each for each in drawn if each.scenario == scenario]
        longest = max(_LOWEST_SCALE_SECONDS, *(each.felt.maximum_stall_seconds for each in plots))
        seconds = max(_end(each.run) for each in plots)
        top = _TOP + row * (_HEIGHT + 2 * _GAP)
        parts += [
            _text(4, top + 14, scenario.name, "title"),
            _text(_LEFT - 8, top + 8, f"{longest:.1f} s", "axis", "end"),
        ]
        for each in plots:
            left = _LEFT + columns.index(each.contender) * (_WIDTH + _GAP)
            parts += [f'<g transform="translate({left} {top})">', *_plot(each, seconds, longest), "</g>"]
    file.write_text("\n".join([*parts, "</svg>\n"]))


def _plot(each: Measurement, seconds: float, longest: float) -> Iterator[str]:
    """Yield one run's plot, ``seconds`` wide and ``longest`` seconds of waiting high."""

    def x(moment: float) -> float:
        return round((moment + _BEFORE_SECONDS) / (seconds + _BEFORE_SECONDS) * _WIDTH, 1)

    points = " ".join(
        f"{x(moment)},{_HEIGHT - wait / longest * _HEIGHT:.1f}" for moment, wait in _longest_waits(each.run)
    )
    yield f'<rect class="run" x="{x(0)}" width="{x(each.run.seconds) - x(0):.1f}" height="{_HEIGHT}"/>'
    yield f'<polygon class="wait" points="0,{_HEIGHT} {points} {x(_end(each.run))},{_HEIGHT}"/>'
    yield f'<path class="base" d="M0 {_HEIGHT}H{_WIDTH}"/>'
    outcome = "applied" if each.applied else "not applied"
    yield _text(x(0) + 4, 12, f"{each.felt.maximum_stall_seconds:.2f} s, {outcome}", "stall")
    yield _text(x(0), _HEIGHT + 11, "0", "axis", "middle")
    yield _text(x(each.run.seconds), _HEIGHT + 11, f"{each.run.seconds:.1f} s", "axis", "middle")


def _longest_waits(run: MigrationRun) -> list[tuple[float, float]]:
    """Return moments, and how long the longest-waiting request had been waiting at each."""
    count = int((_end(run) + _BEFORE_SECONDS) / _STEP_SECONDS)
    waits = [0.0] * (count + 1)
    for sent, latency in run.felt.requests:
        begin = sent - run.started + _BEFORE_SECONDS
        for step in range(max(0, int(begin / _STEP_SECONDS)), min(count, int((begin + latency) / _STEP_SECONDS)) + 1):
            waits[step] = max(waits[step], min(latency, (step + 1) * _STEP_SECONDS - begin))
    return [
        (step * _STEP_SECONDS - _BEFORE_SECONDS, waits[step])
        for step in range(count + 1)
        if step in (0, count) or abs(waits[step - 1] + waits[step + 1] - 2 * waits[step]) > _CORNER_SECONDS
    ]


def _end(run: MigrationRun) -> float:
    """Return when the last request was answered, after the migration's start."""
    return max(sent + latency for sent, latency in run.felt.requests) - run.started


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
