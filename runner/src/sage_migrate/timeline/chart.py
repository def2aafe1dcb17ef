"""The lock timeline as SVG: who was held up, by which statement, under which lock.

Rows from the top: the revisions, the application's waits, the statements, then a lane for each relation that was
locked in a mode that can hold somebody up. A moment at which the application waited is a stripe through all rows,
so that the eye finds the statement and the lock below it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sage_migrate.timeline.axis import Axis, Gap, Interval
from sage_migrate.timeline.lanes import Queue, choose_lanes, queues_of, stalls_of
from sage_migrate.timeline.lock_modes import Effect, spell_mode, strength_of
from sage_migrate.timeline.markup import Content, Markup, element
from sage_migrate.timeline.results import FailedTry, HeldLock, RevisionTimeline, Stall, Statement
from sage_migrate.timeline.summary import describe_stall
from sage_migrate.timeline.words import count, spell_moment, spell_seconds

WIDTH = 1140.0
_GUTTER_LEAST, _GUTTER_MOST = 124.0, 320.0
_RIGHT = 14.0
_NAME_CHARACTER = 6.65  # a monospaced character at 11 px
_LABEL_CHARACTER = 6.6  # a proportional one at 11 px, on the wide side
_ROW = 30.0
_SLACK_SECONDS = 0.1  # between the end of a try's statement and its rollback
# Wide enough to be seen, however short.
_LEAST_BAR, _LEAST_STALL = 2.0, 5.0
_LOCK_HEIGHT = {Effect.ORDINARY: 6.0, Effect.SCHEMA: 10.0, Effect.WRITES: 14.0, Effect.EVERYTHING: 18.0}
_BASELINE = _ROW / 2 + 4
_LEAST_CHARACTERS = 8


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The drawing, and the relations that did not fit into it."""

    svg: Markup
    lanes: tuple[str, ...]
    left_out: tuple[str, ...]


def draw_chart(
    revisions: Sequence[RevisionTimeline], *, identifier: str, title: str, first: int = 0, with_waits: bool = True
) -> Chart | None:
    """Draw ``revisions``, of which the run has ``first`` before them, on one axis; None when nothing was executed.

    Without ``with_waits`` there is no row of the application's waits, as where no application was there.
    """
    busy = list(_busy(revisions))
    if not busy:
        return None
    lanes, left_out = choose_lanes(revisions)
    gutter = _gutter(lanes)
    axis = Axis(busy, WIDTH - gutter - _RIGHT)
    rows = [
        *_revision_rows(revisions, axis),
        *([_stall_row(revisions, axis)] if with_waits else []),
        _statement_row(revisions, axis, first),
    ]
    rows += [_lane_row(lane, revisions, axis) for lane in lanes]
    height = _ROW * len(rows)
    ticks = axis.ticks()
    drawing = element(
        "g",
        *(_stripe(stalls, axis, height) for stalls in _overlapping(stalls_of(revisions))),
        *(element("line", class_="grid", x1=x, x2=x, y1=0, y2=height) for x, _ in ticks),
        *(_gap(gap, revisions, height) for gap in axis.gaps),
        *(element("g", *row.marks, transform=f"translate(0 {_ROW * number:g})") for number, row in enumerate(rows)),
        *(_tick(x, text, height, axis.width) for x, text in ticks),
        transform=f"translate({gutter:g} 6)",
    )
    names = [_row_name(row, _ROW * number + 6, gutter) for number, row in enumerate(rows)]
    rules = [
        element("line", class_="rule", x1=0, x2=WIDTH, y1=_ROW * number + 6, y2=_ROW * number + 6)
        for number in range(len(rows) + 1)
    ]
    svg = element(
        "svg",
        element("title", title, id=f"{identifier}-title"),
        element("desc", _describe(revisions, lanes), id=f"{identifier}-desc"),
        *rules,
        *names,
        drawing,
        class_="chart",
        viewBox=f"0 0 {WIDTH:g} {height + 34:g}",
        role="img",
        aria_labelledby=f"{identifier}-title {identifier}-desc",
    )
    return Chart(svg=svg, lanes=tuple(lanes), left_out=tuple(left_out))


# What is drawn


@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    kind: str
    marks: Sequence[Markup]


def _busy(revisions: Sequence[RevisionTimeline]) -> Iterator[Interval]:
    for revision in revisions:
        yield from ((each.started_seconds, each.ended_seconds) for each in revision.statements)
        yield from ((each.taken_seconds, each.released_seconds) for each in revision.locks)
        yield from ((each.started_seconds, each.ended_seconds) for each in revision.stalls)


def _revision_rows(revisions: Sequence[RevisionTimeline], axis: Axis) -> list[_Row]:
    """One row that names the revisions where there are several."""
    if len(revisions) == 1:
        return []
    return [_Row(name="Revisions", kind="heading", marks=[_band(each, axis) for each in revisions])]


def _band(revision: RevisionTimeline, axis: Axis) -> Markup:
    left, width = _span(axis, revision.started_seconds, revision.ended_seconds, _LEAST_BAR)
    took = spell_seconds(revision.duration_seconds)
    title = element("title", f"{revision.revision}: {revision.description}; {revision.result} in {took}")
    fine = "fine" if revision.result in ("applied", "reverted") else "unfinished"
    band = element("rect", class_=f"band {fine}", x=left, y=5.0, width=width, height=_ROW - 10, rx=2)
    return element("g", title, band, _label(revision.revision, left, width, class_="on-band"))


def _stall_row(revisions: Sequence[RevisionTimeline], axis: Axis) -> _Row:
    groups = _overlapping(stalls_of(revisions))
    marks: list[Markup] = []
    for number, stalls in enumerate(groups):
        left, width = _extent(stalls, axis)
        room = min([axis.width, *(axis.x(each[0].started_seconds) for each in groups[number + 1 :])]) - left - width
        longest = spell_seconds(max(each.longest_wait_seconds for each in stalls))
        text = f"{count(sum(each.sessions for each in stalls), 'session')}, {longest}"
        bar = element("rect", class_="stall", x=left, y=6.0, width=width, height=_ROW - 12, rx=1)
        title = element("title", "; ".join(describe_stall(each) for each in stalls))
        marks.append(element("g", title, bar, _label(text, left, width, room=room, class_="on-stall")))
    if not groups:
        marks.append(element("text", "no session was seen waiting", class_="quiet", x=4, y=_BASELINE))
    return _Row(name="App held up", kind="heading", marks=marks)


def _overlapping(stalls: Sequence[Stall]) -> list[list[Stall]]:
    """Return groups of stalls that are one to the application: they overlap in time."""
    groups: list[list[Stall]] = []
    for stall in sorted(stalls, key=lambda each: each.started_seconds):
        if groups and stall.started_seconds <= max(each.ended_seconds for each in groups[-1]):
            groups[-1].append(stall)
        else:
            groups.append([stall])
    return groups


def _extent(stalls: Sequence[Stall], axis: Axis) -> tuple[float, float]:
    return _span(axis, stalls[0].started_seconds, max(each.ended_seconds for each in stalls), _LEAST_STALL)


def _statement_row(revisions: Sequence[RevisionTimeline], axis: Axis, first: int) -> _Row:
    marks = [
        _statement(each, axis, f"#{statement_identifier(place, number)}", odd=bool(number % 2))
        for place, revision in enumerate(revisions, first)
        for number, each in enumerate(revision.statements)
    ]
    return _Row(name="Statements", kind="heading", marks=marks)


def statement_identifier(revision: int, statement: int) -> str:
    """Return the identifier of a statement's row in the page's tables, by place in the run and in the revision."""
    return f"s{revision + 1}-{statement + 1}"


def _statement(each: Statement, axis: Axis, target: str, *, odd: bool) -> Markup:
    left, width = _span(axis, each.started_seconds, each.ended_seconds, _LEAST_BAR)
    result = "" if each.result == "done" else f", {each.result.replace('_', ' ')}"
    text = f"{each.sql} ({spell_seconds(each.duration_seconds)}{result})"
    kind = "done odd" if odd else "done"
    bar = element(
        "rect",
        class_=f"statement {kind if each.result == 'done' else 'failed'}",
        x=left,
        y=7.0,
        width=width,
        height=_ROW - 14,
    )
    done = each.result == "done"
    label = _label(each.sql, left, width, class_="on-statement" if done else "on-failed")
    return element(
        "a", element("title", text), bar, label, Markup() if done else _cross(left + width), href=target, tabindex=-1
    )


def _lane_row(relation: str, revisions: Sequence[RevisionTimeline], axis: Axis) -> _Row:
    locks = [lock for revision in revisions for lock in revision.telling_locks if lock.relation == relation]
    locks.sort(key=lambda lock: (strength_of(lock.mode), lock.taken_seconds))
    marks = [
        *(_queue(each, axis) for each in queues_of(revisions) if each.relation == relation),
        *(_lock(lock, locks, axis) for lock in locks),
        *(_stalled(each, axis) for each in stalls_of(revisions) if each.relation == relation),
    ]
    return _Row(name=relation, kind="relation", marks=marks)


def _queue(queue: Queue, axis: Axis) -> Markup:
    left, width = _span(axis, queue.started_seconds, queue.ended_seconds, _LEAST_STALL)
    wanted = f" for {spell_mode(queue.mode)}" if queue.mode else ""
    took = spell_seconds(queue.ended_seconds - queue.started_seconds)
    title = element("title", f"queued{wanted} on {queue.relation} for {took}, and gave up")
    return element("g", title, element("rect", class_="queue", x=left, y=6.0, width=width, height=_ROW - 12))


def _stalled(stall: Stall, axis: Axis) -> Markup:
    left, width = _extent([stall], axis)
    bar = element("rect", class_="stall", x=left, y=_ROW - 5, width=width, height=4.0)
    return element("g", element("title", describe_stall(stall)), bar)


def _lock(lock: HeldLock, lane: Sequence[HeldLock], axis: Axis) -> Markup:
    left, width = _span(axis, lock.taken_seconds, lock.released_seconds, _LEAST_BAR)
    height, kind = _LOCK_HEIGHT[lock.effect], lock.effect.name.lower()
    mode, held = spell_mode(lock.mode), spell_seconds(lock.held_seconds)
    title = element("title", f"{mode} on {lock.relation} for {held}: {lock.effect.meaning}")
    bar = element("rect", class_=f"lock {kind}", x=left, y=(_ROW - height) / 2, width=width, height=height, rx=1)
    if lock.effect is Effect.ORDINARY or _is_covered(lock, lane):
        return element("g", title, bar)
    following = [axis.x(other.taken_seconds) for other in lane if other.taken_seconds >= lock.released_seconds]
    room = min([axis.width, *following]) - left - width
    inside = f"on-{kind}" if lock.effect > Effect.SCHEMA else None
    return element("g", title, bar, _label(f"{mode} {held}", left, width, room=room, class_=inside))


def _is_covered(lock: HeldLock, lane: Sequence[HeldLock]) -> bool:
    """Tell whether a stronger lock of the same time is drawn over it, and labelled."""
    return any(
        strength_of(other.mode) > strength_of(lock.mode)
        and other.taken_seconds < lock.released_seconds
        and lock.taken_seconds < other.released_seconds
        for other in lane
    )


def _gap(gap: Gap, revisions: Sequence[RevisionTimeline], height: float) -> Markup:
    """Draw a folded pause; its label says how long, and whether the migration stood aside."""
    tries = [
        each
        for revision in revisions
        for each in revision.failed_tries
        if gap.start - _SLACK_SECONDS <= each.ended_seconds <= gap.end
    ]
    width = gap.right - gap.left
    words = ["stood aside" if tries else "idle", spell_seconds(_pause_seconds(gap, tries))]
    parts: list[Content] = [
        element("title", _pause_text(gap, tries)),
        element("rect", class_="gap", x=gap.left, y=0, width=width, height=height),
    ]
    if width >= _LABEL_CHARACTER * max(len(word) for word in words):
        middle = (gap.left + gap.right) / 2
        parts += [
            element("text", word, class_="gap-label", x=middle, y=height / 2 - 3 + 14 * number)
            for number, word in enumerate(words)
        ]
    return element("g", *parts)


def _pause_seconds(gap: Gap, tries: Sequence[FailedTry]) -> float:
    return sum(each.paused_seconds for each in tries) if tries else gap.end - gap.start


def _pause_text(gap: Gap, tries: Sequence[FailedTry]) -> str:
    length = spell_seconds(_pause_seconds(gap, tries))
    if not tries:
        return f"nothing happened for {length}"
    names = sorted({blocker.name for each in tries for blocker in each.blockers})
    return f"stood aside for {length}, with no lock and no queue{', for ' + ', '.join(names) if names else ''}"


def _stripe(stalls: Sequence[Stall], axis: Axis, height: float) -> Markup:
    left, width = _extent(stalls, axis)
    return element("rect", class_="stripe", x=left, y=0, width=width, height=height)


# Parts of it


def _span(axis: Axis, start: float, end: float, least: float) -> tuple[float, float]:
    left = axis.x(start)
    width = max(axis.x(end) - left, least)
    return min(left, axis.width - width), width


def _label(text: str, left: float, width: float, *, room: float = 0.0, class_: str | None) -> Markup:
    """Write ``text`` into the bar (where ``class_`` says how), else beside it where there is room.

    Without either, of a text that may not stand outside as much as fits; the title has it whole.
    """
    needed = len(text) * _LABEL_CHARACTER + 8
    inside, beside = left + 4, left + width + 4
    if class_ is not None and needed <= width:
        return element("text", text, class_=class_, x=inside, y=_BASELINE)
    if needed <= room:
        return element("text", text, class_="beside", x=beside, y=_BASELINE)
    fitting = int((width - 8) / _LABEL_CHARACTER) - 1
    if class_ is not None and fitting >= _LEAST_CHARACTERS:
        return element("text", f"{text[:fitting].rstrip()}…", class_=class_, x=inside, y=_BASELINE)
    return Markup()


def _cross(x: float) -> Markup:
    middle = _ROW / 2
    return element("path", class_="cross", d=f"M{x - 4:.1f} {middle - 4:.1f}l8 8m0 -8l-8 8")


def _tick(x: float, text: str, height: float, width: float) -> Markup:
    anchor = "start" if x < 12 else "end" if x > width - 24 else "middle"  # noqa: PLR2004  pixels from the edge
    return element("text", text, class_="tick", x=x, y=height + 18, text_anchor=anchor)


def _gutter(lanes: Sequence[str]) -> float:
    longest = max((len(lane) for lane in lanes), default=0)
    return min(_GUTTER_MOST, max(_GUTTER_LEAST, longest * _NAME_CHARACTER + 16))


def _row_name(row: _Row, top: float, gutter: float) -> Markup:
    """Write the row's name, a long relation's on two lines, and of the longest only both ends."""
    fitting = int((gutter - 14) / _NAME_CHARACTER)
    lines = [row.name]
    if row.kind == "relation" and len(row.name) > fitting:
        lines = _two_lines(row.name, fitting)
    first = top + _ROW / 2 + (4 if len(lines) == 1 else -2)
    spans = [element("tspan", line, x=2, y=first + 12 * number) for number, line in enumerate(lines)]
    return element("text", element("title", row.name), *spans, class_=f"name {row.kind}")


def _two_lines(name: str, fitting: int) -> list[str]:
    at = max(name.rfind(mark, 0, fitting) for mark in "._") + 1
    if at < fitting // 3:
        at = fitting
    rest = name[at:]
    if len(rest) > fitting:
        half = fitting // 2
        rest = f"{rest[: half - 1]}…{rest[-(fitting - half) :]}"
    return [name[:at], rest]


def _describe(revisions: Sequence[RevisionTimeline], lanes: Sequence[str]) -> str:
    """Return the chart in words, for who cannot see it; the tables below hold every number."""
    statements = sum(len(each.statements) for each in revisions)
    parts = [f"{count(statements, 'statement')} of {count(len(revisions), 'revision')}."]
    strong = [lock for each in revisions for lock in each.telling_locks if lock.effect > Effect.ORDINARY]
    parts += [
        f"{spell_mode(lock.mode)} on {lock.relation} from {spell_moment(lock.taken_seconds)} for {spell_seconds(lock.held_seconds)}."
        for lock in strong[:20]
    ]
    parts += [f"At {spell_moment(stall.started_seconds)}: {describe_stall(stall)}." for stall in stalls_of(revisions)]
    if not lanes:
        parts.append("No relation was locked in a mode that can hold up a query.")
    return " ".join(parts)
