"""The chart's time axis: linear where something happens; a pause in which nothing does is folded to a gap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10

_FOLD_SECONDS = 0.2
_FOLD_SHARE = 0.1
_TICK_PIXELS = 90
_WIDEST_GAP = 92.0
_GAPS_SHARE = 0.4
# So that what is short looks short: a lock held for 10 ms must not fill the page.
_SHORTEST_AXIS_SECONDS = 0.3

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A folded pause: from when to when, and where it is drawn."""

    start: float
    end: float
    left: float
    right: float


@dataclass(frozen=True, kw_only=True)
class _Segment:
    start: float
    end: float
    left: float
    right: float


class Axis:
    """Where a moment is drawn, from 0 to ``width`` pixels."""

    def __init__(self, busy: Iterable[Interval], width: float) -> None:
        """Fit the intervals in which something happens into ``width``."""
        self.width = width
        parts = _fold(_merge(busy))
        gaps = len(parts) - 1
        gap = min(_WIDEST_GAP, _GAPS_SHARE * width / gaps) if gaps else 0.0
        active = sum(end - start for start, end in parts)
        seconds = max(active, _SHORTEST_AXIS_SECONDS)
        self._scale = (width - gaps * gap) / seconds
        self._end = parts[-1][1]
        parts[-1] = (parts[-1][0], self._end + seconds - active)
        self._segments: list[_Segment] = []
        left = 0.0
        for start, end in parts:
            right = left + (end - start) * self._scale
            self._segments.append(_Segment(start=start, end=end, left=left, right=right))
            left = right + gap
        self.gaps = [
            Gap(start=before.end, end=after.start, left=before.right, right=after.left)
            for before, after in pairwise(self._segments)
        ]

    def x(self, moment: float) -> float:
        """Return where ``moment`` is drawn."""
        for segment in self._segments:
            if moment <= segment.end:
                if moment >= segment.start:
                    return segment.left + (moment - segment.start) * self._scale
                return segment.left
        return self._segments[-1].right

    def ticks(self) -> list[tuple[float, str]]:
        """Return the position and label of each tick: round moments to the first after the end, and the one after a gap."""
        step = _round_step(_TICK_PIXELS / self._scale)
        decimals = max(0, -floor(log10(step)))
        placed: list[tuple[float, str]] = []
        for segment in self._segments:
            number = floor(segment.start / step)
            moments = []
            while number * step <= segment.end and (number - 1) * step < self._end:
                if number * step >= segment.start:
                    moments.append(number * step)
                number += 1
            if not moments:
                moments = [segment.start]
            for moment in moments:
                position = self.x(moment)
                if not placed or position - placed[-1][0] >= _TICK_PIXELS * 0.55:
                    placed.append((position, f"{moment:.{decimals}f} s"))
        return placed


def _merge(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _fold(busy: Sequence[Interval]) -> list[Interval]:
    """Join what is close together; what is left between the parts is worth folding."""
    active = sum(end - start for start, end in busy)
    least = max(_FOLD_SECONDS, _FOLD_SHARE * active)
    parts = [busy[0]]
    for start, end in busy[1:]:
        if start - parts[-1][1] < least:
            parts[-1] = (parts[-1][0], end)
        else:
            parts.append((start, end))
    return parts


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, … times a power of ten that is not below ``least``."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)
