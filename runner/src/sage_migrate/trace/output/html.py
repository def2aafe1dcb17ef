"""For a person: one page without network or script, a lock timeline first."""

from collections.abc import Iterator
from importlib.resources import files

import sage_migrate.timeline
from sage_migrate.redact import shorten_sql
from sage_migrate.timeline.chart import draw_chart, statement_identifier
from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.markup import Content, Markup, element
from sage_migrate.timeline.results import RevisionTimeline
from sage_migrate.timeline.results import Statement as DrawnStatement
from sage_migrate.timeline.words import NONE, TIMES, count, enumerate_names, spell_seconds
from sage_migrate.trace.output.markdown import outcomes, verdict
from sage_migrate.trace.output.text import facts_of, message_of, telling_locks
from sage_migrate.trace.results import Hazard, RevisionTrace, Statement, Trace

# Of many revisions those without a finding are folded.
_OPEN = 3
_LEGEND = (
    ("everything", 16, "ACCESS EXCLUSIVE: blocks reads and writes"),
    ("writes", 13, "SHARE to EXCLUSIVE: blocks writes"),
    ("schema", 9, "SHARE UPDATE EXCLUSIVE: blocks schema changes alone"),
)


def as_html(trace: Trace) -> str:
    """Return the page."""
    style = files(sage_migrate.timeline).joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Nothing is loaded and nothing runs, whatever a name in the database contains.
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("title", f"sage-migrate trace: {verdict(trace)}"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        *_header(trace),
        *_timeline(trace),
        *_versions(trace),
        *_revisions(trace),
        *_checks(trace),
        _footer(trace),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}"


def _header(trace: Trace) -> Iterator[Markup]:
    clean = trace.is_clean
    badge = element("span", "nothing found" if clean else "look here", class_=f"badge {'good' if clean else 'bad'}")
    yield element("h1", "sage-migrate trace ", badge)
    yield element("p", f"{verdict(trace).capitalize()}.", class_="summary")
    failed = [each.name for each in trace.checks if not each.passed]
    locks = [lock for each in trace.revisions for statement in each.statements for lock in telling_locks(statement)]
    strongest = max(locks, key=lambda lock: (lock.effect, lock.held_seconds), default=None)
    contract = [each.revision for each in trace.revisions if each.verdict == "contract"]
    figures = [
        ("Old pods", "survive it" if not contract else "do not survive", ", ".join(contract[:3])),
        ("Hazards", str(sum(len(each.hazards) for each in trace.revisions)), ", ".join(_codes(trace)[:6])),
        (
            "Strongest lock",
            NONE if strongest is None else spell_seconds(strongest.held_seconds),
            "" if strongest is None else f"{spell_mode(strongest.mode)} on {strongest.relation}, on few rows",
        ),
        ("Revisions", str(len(trace.revisions)), f"after {', '.join(trace.base) or 'an empty database'}"),
        ("Checks failed", str(len(failed)), enumerate_names(failed, most=2) or f"of {len(trace.checks)}"),
    ]
    yield element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, element("small", note)))
            for name, value, note in figures
        ),
        class_="figures",
    )


def _codes(trace: Trace) -> list[str]:
    return list(dict.fromkeys(hazard.code for each in trace.revisions for hazard in each.hazards))


def _timeline(trace: Trace) -> Iterator[Markup]:
    drawn = list(_drawn(trace))
    chart = (
        draw_chart(drawn, identifier="run", title="Lock timeline of the revisions", with_waits=False) if drawn else None
    )
    if chart is None:
        return
    yield element("h2", "Lock timeline")
    modes = {lock.effect.name.lower() for each in drawn for lock in each.telling_locks}

    def item(class_: str, height: int, text: str) -> Markup:
        bar = element("rect", class_=class_, x=1, y=(18 - height) / 2, width=24, height=height, rx=1)
        return element("li", element("svg", bar, viewBox="0 0 26 18", aria_hidden="true"), text)

    yield element("ul", *(item(*each) for each in _LEGEND if each[0] in modes), class_="legend")
    caption = (
        "Each revision by itself, one after the other, at the size of the scratch database: what counts is the order, and what is "
        "held while something else goes on. A lock begins with the statement that took it and lasts until its transaction ended."
    )
    yield element("figure", chart.svg, element("figcaption", caption))


def _drawn(trace: Trace) -> Iterator[RevisionTimeline]:
    """Yield the revisions for the chart, one after the other on one axis."""
    from dataclasses import replace

    start = 0.0
    for revision in trace.revisions:
        ends = [
            *(each.started_seconds + each.duration_seconds for each in revision.statements),
            *(lock.released_seconds for each in revision.statements for lock in each.locks),
        ]
        length = max(ends, default=0.0)
        yield RevisionTimeline(
            revision=revision.revision,
            path=revision.path,
            description=revision.description,
            phase=revision.declared,
            stall_budget_seconds=None,
            maintenance_window="",
            reason="",
            result="rolled back" if revision.problem else "applied",
            started_seconds=start,
            duration_seconds=length,
            tries=1,
            statements=tuple(
                DrawnStatement(
                    sql=shorten_sql(each.sql, literals=True),
                    attempt=1,
                    started_seconds=start + each.started_seconds,
                    duration_seconds=each.duration_seconds,
                    executions=each.executions,
                    result="failed" if each.problem else "done",
                    locks=tuple(replace(lock, taken_seconds=start + lock.taken_seconds) for lock in each.locks),
                )
                for each in revision.statements
            ),
        )
        start += length + 0.002


def _versions(trace: Trace) -> Iterator[Markup]:
    if trace.versions:
        yield element("h2", "Versions of PostgreSQL")
        head = element("tr", *(element("th", name) for name in ("Revision", *(each.server for each in trace.versions))))
        rows = [
            element("tr", element("td", element("code", name)), *(element("td", each) for each in cells))
            for name, *cells in outcomes(trace)
        ]
        yield element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _revisions(trace: Trace) -> Iterator[Markup]:
    if not trace.revisions:
        return
    yield element("h2", "Revisions")
    for place, revision in enumerate(trace.revisions):
        fine = not revision.problem and not revision.hazards
        badge = "does not run" if revision.problem else revision.verdict
        good = not revision.problem and (revision.verdict == "expand" or revision.declared == "contract")
        summary = element(
            "summary",
            element("code", revision.revision, class_="id"),
            element("span", revision.description),
            element("span", badge, class_=f"badge {'good' if good else 'bad'}"),
            element("span", f"{count(len(revision.statements), 'statement')} · {revision.path}", class_="quiet"),
        )
        yield element(
            "details",
            summary,
            *_findings(revision),
            *_statements(revision, place),
            open=not fine or len(trace.revisions) <= _OPEN,
        )


def _findings(revision: RevisionTrace) -> Iterator[Markup]:
    if revision.problem:
        yield element(
            "section", element("p", element("strong", "It does not run: "), revision.problem), class_="failure"
        )
    for hazard in revision.hazards:
        yield element("section", *_hazard(hazard, revision), class_="failure")
    for note in revision.notes:
        yield element("p", note, class_="quiet")
    for breakage in revision.new_code_breaks[:1]:
        told = f"Taken back alone, it stops new code: {breakage.problem} ({breakage.source})."
        yield element("p", told, class_="quiet")


def _hazard(hazard: Hazard, revision: RevisionTrace) -> Iterator[Markup]:
    line = f":{hazard.line}" if hazard.line else ""
    yield element(
        "p",
        element("strong", f"{hazard.code} {', '.join(hazard.hazards)}: "),
        message_of(hazard),
        " ",
        element("code", revision.path + line),
    )
    for proof in hazard.evidence:
        yield element("p", "Old code, ", element("code", proof))
    first, _, rest = hazard.help.partition("\n")
    if first:
        yield element("p", first)
    if rest:
        yield element("pre", element("code", rest))


def _statements(revision: RevisionTrace, place: int) -> Iterator[Markup]:
    if not revision.statements:
        return
    names = ("#", "took", "WAL", "statement", "what it did", "locks, and how long held")
    head = element(
        "tr",
        *(
            element("th", name, scope="col", class_="number" if name in ("#", "took", "WAL") else None)
            for name in names
        ),
    )
    rows = [_statement(each, place, number) for number, each in enumerate(revision.statements)]
    yield element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _statement(statement: Statement, place: int, number: int) -> Markup:
    times = f" {TIMES} {statement.executions:,}" if statement.executions > 1 else ""
    locks = [
        element(
            "li",
            element("span", class_=f"dot {lock.effect.name.lower()}", aria_hidden="true"),
            f"{spell_mode(lock.mode)} on ",
            element("code", lock.relation),
            f", {spell_seconds(lock.held_seconds)}",
        )
        for lock in telling_locks(statement)
    ]
    facts = [element("li", fact) for fact in facts_of(statement, locks=False)]
    cells: list[Content] = [
        element("td", str(number + 1), class_="number"),
        element("td", spell_seconds(statement.duration_seconds), class_="number"),
        element("td", f"{statement.wal_bytes / 1000:,.0f} kB", class_="number"),
        element("td", element("code", shorten_sql(statement.sql, literals=True)), times),
        element("td", element("ul", *facts) if facts else NONE),
        element("td", element("ul", *locks) if locks else NONE),
    ]
    return element("tr", *cells, id=statement_identifier(place, number))


def _checks(trace: Trace) -> Iterator[Markup]:
    if trace.checks:
        yield element("h2", "Checks")
        rows = [
            element(
                "tr",
                element("td", each.name),
                element(
                    "td",
                    element(
                        "span",
                        "passed" if each.passed else "failed",
                        class_=f"badge {'good' if each.passed else 'bad'}",
                    ),
                ),
                element("td", each.message),
            )
            for each in trace.checks
        ]
        yield element("div", element("table", element("tbody", *rows)), class_="scroll")


def _footer(trace: Trace) -> Markup:
    told = [
        f"PostgreSQL {trace.server}",
        f"old code: {trace.old_code}",
        f"traced in {spell_seconds(trace.duration_seconds)}",
    ]
    return element("footer", element("p", ". ".join(told) + "."), *(element("p", note) for note in trace.notes))
