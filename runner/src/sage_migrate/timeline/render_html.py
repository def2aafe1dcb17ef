"""The timeline as one page for a person: no network, no script, light and dark."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

from sage_migrate.timeline.chart import draw_chart, statement_identifier
from sage_migrate.timeline.lock_modes import Effect, spell_mode
from sage_migrate.timeline.markup import Content, Markup, element
from sage_migrate.timeline.results import (
    Blocker,
    HeldLock,
    RevisionTimeline,
    Timeline,
)
from sage_migrate.timeline.summary import cause_of, describe_declaration, summarize
from sage_migrate.timeline.words import NONE, TIMES, count, enumerate_names, spell_budget, spell_moment, spell_seconds

# A longer table shows what is telling, and the rest on demand.
_SHOWN_STATEMENTS = 25
_OPEN_REVISIONS = 3
_MOST_LOCKS = 10
_FINE = ("applied", "reverted")
_NUMBER_AND_UNIT = re.compile(r"(\d) (ms|s|min|revisions?|sessions?)\b")


def render_html(timeline: Timeline) -> str:
    """Return the page."""
    title = f"sage-migrate {timeline.command}: {_outcome(timeline)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing is loaded and nothing runs, whatever a name in the database contains.
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("title", title),
        element("style", Markup(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))),
    )
    body = element("body", *_header(timeline), *_timeline(timeline), *_revisions(timeline), _footer(timeline))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _outcome(timeline: Timeline) -> str:
    if timeline.failure is not None:
        return "failed"
    return "reverted" if timeline.command == "downgrade" else "applied" if timeline.revisions else "nothing to do"


def _header(timeline: Timeline) -> Iterator[Markup]:
    outcome = _outcome(timeline)
    status = f", exit status {timeline.failure.exit_status}" if timeline.failure else ""
    yield element(
        "h1",
        f"sage-migrate {timeline.command}, {timeline.started_at.replace('T', ' ').replace('Z', ' UTC')} ",
        element("span", outcome + status, class_=f"badge {'bad' if timeline.failure else 'good'}"),
    )
    yield element("p", _NUMBER_AND_UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", summarize(timeline)), class_="summary")
    yield element("dl", *(_figure(*figure) for figure in _figures(timeline)), class_="figures")
    failure = timeline.failure
    if failure is not None:
        parts = [("What happened", failure.what), ("Effect", failure.effect), ("What to do", failure.remedy)]
        yield element(
            "section",
            *(element("p", element("strong", f"{name}: "), text) for name, text in parts if text),
            class_="failure",
        )


def _figures(timeline: Timeline) -> Iterator[tuple[str, str, str]]:
    worst, strongest = timeline.worst_stall, timeline.strongest_lock
    if worst is not None:
        yield "Longest wait of the app", spell_seconds(worst.longest_wait_seconds), f"on {worst.relation}"
        names = sorted({name for stall in timeline.stalls for name in stall.application_names})
        yield "Sessions held up", f"{timeline.sessions_held_up:,}", enumerate_names(names)
    elif timeline.look_seconds is not None:
        yield "Longest wait of the app", "none", "no session was seen waiting"
    if strongest is not None:
        yield (
            "Strongest lock held",
            spell_seconds(strongest.held_seconds),
            f"{spell_mode(strongest.mode)} on {strongest.relation}",
        )
    if timeline.failed_tries:
        yield (
            "Stood aside",
            spell_seconds(timeline.paused_seconds),
            _tries(len(timeline.failed_tries)) + " did not get the lock",
        )
    done = sum(1 for each in timeline.revisions if each.result in _FINE)
    pending = f"{len(timeline.pending)} pending" if timeline.pending else ""
    yield "Revisions " + ("reverted" if timeline.command == "downgrade" else "applied"), f"{done}", pending
    yield "Whole run", spell_seconds(timeline.duration_seconds), "from the first wait for the database"


def _figure(name: str, value: str, note: str) -> Markup:
    return element("div", element("dt", name), element("dd", value, element("small", note) if note else ""))


def _timeline(timeline: Timeline) -> Iterator[Markup]:
    chart = draw_chart(
        timeline.revisions,
        identifier="run",
        title="Lock timeline of the run",
        with_waits=timeline.look_seconds is not None,
    )
    if chart is None:
        return
    yield element("h2", "Lock timeline")
    yield _legend(timeline)
    more = f" {count(len(chart.left_out), 'more relation')} are in the tables alone." if chart.left_out else ""
    caption = (
        "Purple says when the application was held up; the stripe below it leads to the statement and the lock. "
        "A lock begins with the statement that took it and lasts until its transaction ended. Seconds count from the start of the run. "
        "Left out: relations that the revision itself made, locks that a stronger one covers, and locks as every query takes them."
    )
    yield element("figure", chart.svg, element("figcaption", caption, more))


def _legend(timeline: Timeline) -> Markup:
    """Explain the colours that occur; a purple that does not is good news worth naming."""

    def item(class_: str, height: int, text: str) -> Markup:
        bar = element("rect", class_=class_, x=1, y=(18 - height) / 2, width=24, height=height, rx=1)
        return element("li", element("svg", bar, viewBox="0 0 26 18", aria_hidden="true"), text)

    drawn = {lock.effect for revision in timeline.revisions for lock in revision.telling_locks}
    items = [
        item(effect.name.lower(), height, f"{modes}: {effect.meaning}")
        for effect, modes, height in (
            (Effect.EVERYTHING, "ACCESS EXCLUSIVE", 16),
            (Effect.WRITES, "SHARE to EXCLUSIVE", 13),
            (Effect.SCHEMA, "SHARE UPDATE EXCLUSIVE", 9),
            (Effect.ORDINARY, "weaker", 5),
        )
        if effect in drawn
    ]
    if timeline.failed_tries:
        items.append(item("queue", 14, "queued for a lock and gave up"))
    return element("ul", item("stall", 16, "the application waited for the migration"), *items, class_="legend")


def _revisions(timeline: Timeline) -> Iterator[Markup]:
    if not timeline.revisions:
        return
    yield element("h2", "Revisions")
    several = len(timeline.revisions) > 1
    for place, revision in enumerate(timeline.revisions):
        notable = revision.result not in _FINE or bool(revision.stalls) or bool(revision.failed_tries)
        yield element(
            "details",
            _revision_summary(revision),
            *([element("p", declared, class_="quiet")] if (declared := describe_declaration(revision)) else []),
            *(_own_chart(revision, place) if several else ()),
            *_stalls(revision),
            *_failed_tries(revision),
            *_statements(revision, place),
            open=notable or len(timeline.revisions) <= _OPEN_REVISIONS,
        )
    if timeline.pending:
        yield element("p", "Not applied: ", element("code", ", ".join(timeline.pending)), class_="quiet")


def _revision_summary(revision: RevisionTimeline) -> Markup:
    facts = [
        f"{spell_seconds(revision.duration_seconds)}",
        count(len(revision.statements) + revision.statements_left_out, "statement"),
    ]
    if revision.tries > 1:
        facts.append(_tries(revision.tries))
    if revision.phase != "expand":
        facts.append(f"phase {revision.phase}")
    return element(
        "summary",
        element("code", revision.revision, class_="id"),
        element("span", revision.description),
        element("span", revision.result, class_=f"badge {'good' if revision.result in _FINE else 'bad'}"),
        element("span", " · ".join(facts), class_="quiet"),
    )


def _own_chart(revision: RevisionTimeline, place: int) -> Iterator[Markup]:
    title = f"Lock timeline of revision {revision.revision}"
    chart = draw_chart([revision], identifier=f"r{place + 1}", title=title, first=place)
    if chart is not None and chart.lanes:
        yield element("figure", chart.svg)


def _stalls(revision: RevisionTimeline) -> Iterator[Markup]:
    if revision.stalls:
        yield element("h3", "The application waited")
        yield _table(
            ("at", "sessions", "longest", "who", "waited", "since the migration ran"),
            [
                (
                    spell_moment(each.started_seconds),
                    str(each.sessions),
                    spell_seconds(each.longest_wait_seconds),
                    ", ".join(each.application_names) or NONE,
                    cause_of(each),
                    element("code", each.sql) if each.sql else NONE,
                )
                for each in revision.stalls
            ],
            numbers=(0, 1, 2),
        )


def _failed_tries(revision: RevisionTimeline) -> Iterator[Markup]:
    if revision.failed_tries:
        yield element("h3", "Tries that did not get their lock")
        yield _table(
            ("at", "took", "then stood aside", "SQLSTATE", "in the way", "statement"),
            [
                (
                    spell_moment(each.started_seconds),
                    spell_seconds(each.duration_seconds),
                    spell_seconds(each.paused_seconds),
                    each.sqlstate,
                    element("ul", *(element("li", *_blocker(blocker)) for blocker in each.blockers))
                    if each.blockers
                    else "not seen",
                    element("code", each.sql),
                )
                for each in revision.failed_tries
            ],
            numbers=(0, 1, 2),
        )


def _blocker(blocker: Blocker) -> Iterator[Content]:
    state = [
        blocker.state or "",
        f"transaction {spell_seconds(blocker.transaction_age_seconds)} old" if blocker.transaction_age_seconds else "",
    ]
    state = [each for each in state if each]
    yield f"{blocker.name}{' (' + ', '.join(state) + ')' if state else ''} with {spell_mode(blocker.mode)}"
    if blocker.relation:
        yield f" on {blocker.relation}"
    if blocker.query:
        yield ": "
        yield element("code", blocker.query)


def _statements(revision: RevisionTimeline, place: int) -> Iterator[Markup]:
    if not revision.statements:
        return
    yield element("h3", "Statements")
    rows = [_statement(revision, place, number) for number in range(len(revision.statements))]
    if len(rows) <= _SHOWN_STATEMENTS:
        yield _statement_table(rows)
    else:
        telling = sorted(_telling(revision))
        first = [_statement(revision, place, number, identified=False) for number in telling]
        intro = f"Those that failed, took strong locks or took long, {len(telling)} of {len(rows)}:"
        yield element("p", intro, class_="quiet")
        yield _statement_table(first)
        yield element("details", element("summary", f"All {len(rows)} statements"), _statement_table(rows))
    if revision.statements_left_out:
        yield element(
            "p",
            f"{count(revision.statements_left_out, 'more statement')} were executed and not recorded.",
            class_="quiet",
        )


def _telling(revision: RevisionTimeline) -> set[int]:
    """Return the places of the statements worth showing of many."""

    def weight(number: int) -> tuple[bool, int, float]:
        each = revision.statements[number]
        strongest = max((lock.effect for lock in each.locks), default=Effect.ORDINARY)
        return each.result != "done", 0 if strongest < Effect.WRITES else 1, each.duration_seconds

    numbers = range(len(revision.statements))
    return set(sorted(numbers, key=weight, reverse=True)[: _SHOWN_STATEMENTS // 2])


def _statement(revision: RevisionTimeline, place: int, number: int, *, identified: bool = True) -> Markup:
    each = revision.statements[number]
    result = "" if each.result == "done" else element("span", each.result.replace("_", " "), class_="badge bad")
    times = f" {TIMES} {each.executions:,}" if each.executions > 1 else ""
    telling = revision.telling_locks_of(each)
    locks = [_lock(lock) for lock in telling[:_MOST_LOCKS]]
    if len(telling) > _MOST_LOCKS:
        locks.append(element("li", f"and {len(telling) - _MOST_LOCKS:,} more", class_="quiet"))
    attempt = f" (try {each.attempt})" if each.result == "lock_not_obtained" or each.attempt > 1 else ""
    return element(
        "tr",
        element("td", str(number + 1), class_="number"),
        element("td", spell_moment(each.started_seconds), class_="number"),
        element("td", spell_seconds(each.duration_seconds), class_="number"),
        element("td", element("code", each.sql), times, attempt, " ", result),
        element("td", element("ul", *locks) if locks else NONE),
        id=statement_identifier(place, number) if identified else None,
    )


def _statement_table(rows: Sequence[Markup]) -> Markup:
    head = element(
        "tr",
        *(element("th", name, class_="number", scope="col") for name in ("#", "at", "took")),
        element("th", "statement", scope="col"),
        element("th", "locks taken, and how long held", scope="col", class_="locks"),
    )
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _lock(lock: HeldLock) -> Markup:
    return element(
        "li",
        element("span", class_=f"dot {lock.effect.name.lower()}", aria_hidden="true"),
        f"{spell_mode(lock.mode)} on ",
        element("code", lock.relation),
        f", {spell_seconds(lock.held_seconds)}",
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[Content]], *, numbers: Sequence[int]) -> Markup:
    def cell(kind: str, place: int, content: Content) -> Markup:
        return element(
            kind, content, class_="number" if place in numbers else None, scope="col" if kind == "th" else None
        )

    head = element("tr", *(cell("th", place, name) for place, name in enumerate(names)))
    body = [element("tr", *(cell("td", place, content) for place, content in enumerate(row))) for row in rows]
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scroll")


def _tries(number: int) -> str:
    return f"{number} {'try' if number == 1 else 'tries'}"


def _footer(timeline: Timeline) -> Markup:
    limits = timeline.limits
    settings = (
        f"Limits: lock-timeout {spell_budget(limits.lock_timeout_seconds)}, stall-budget {spell_budget(limits.stall_budget_seconds)}, "
        f"statement-timeout {spell_budget(limits.statement_timeout_seconds)}, deadline {spell_budget(limits.deadline_seconds)}."
    )
    precision = ""
    if timeline.look_seconds is not None:
        look = spell_budget(timeline.look_seconds)
        precision = f"Who waits was looked at every {look}, so a shorter wait may be missing."
    incomplete = f" Something is missing: {timeline.incomplete}." if timeline.incomplete else ""
    moved = f"From {', '.join(timeline.before) or 'an empty history'} towards {', '.join(timeline.target) or 'base'}."
    return element("footer", *(element("p", text) for text in (moved, settings, precision + incomplete) if text))
