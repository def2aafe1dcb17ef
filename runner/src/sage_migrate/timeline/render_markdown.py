"""The timeline as Markdown, for a pull request, a ticket or a job summary."""

import re
from collections.abc import Iterator, Sequence

from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.results import RevisionTimeline, Statement, Timeline
from sage_migrate.timeline.summary import cause_of, describe_declaration, summarize
from sage_migrate.timeline.words import NONE, TIMES, count, spell_budget, spell_moment, spell_seconds

_BACKTICKS = re.compile(r"`+")
# Characters with which a name could become a heading, a link or an element.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_MOST_ROWS = 50
_MOST_LOCKS = 10


def render_markdown(timeline: Timeline) -> str:
    """Return the document."""
    return "\n".join(_lines(timeline)) + "\n"


def _lines(timeline: Timeline) -> Iterator[str]:
    outcome = f"failed, exit status {timeline.failure.exit_status}" if timeline.failure else "done"
    yield f"# sage-migrate {timeline.command}: {outcome}"
    yield ""
    yield f"**{_text(summarize(timeline))}**"
    if timeline.failure is not None:
        failure = timeline.failure
        for name, text in (("What happened", failure.what), ("Effect", failure.effect), ("What to do", failure.remedy)):
            if text:
                yield ""
                yield f"{name}: {_text(text)}"
    for revision in timeline.revisions:
        yield from _revision(revision)
    limits = timeline.limits
    yield ""
    yield (
        f"Begun {timeline.started_at}. Limits: lock-timeout {spell_budget(limits.lock_timeout_seconds)}, "
        f"stall-budget {spell_budget(limits.stall_budget_seconds)}, "
        f"statement-timeout {spell_budget(limits.statement_timeout_seconds)}, "
        f"deadline {spell_budget(limits.deadline_seconds)}."
    )
    if timeline.look_seconds is not None:
        yield f"A wait shorter than {spell_budget(timeline.look_seconds)} may be missing."
    if timeline.incomplete:
        yield ""
        yield f"Something is missing: {_text(timeline.incomplete)}."


def _revision(revision: RevisionTimeline) -> Iterator[str]:
    description = f" {_text(revision.description)}" if revision.description else ""
    tries = f", {revision.tries} tries" if revision.tries > 1 else ""
    yield ""
    yield f"## {_code(revision.revision)}{description}: {revision.result}, {spell_seconds(revision.duration_seconds)}{tries}"
    if declared := describe_declaration(revision):
        yield ""
        yield _text(declared)
    if revision.stalls:
        yield from _table(
            ("at", "app held up", "longest wait", "who", "waited", "since the migration ran"),
            [
                (
                    spell_moment(each.started_seconds),
                    count(each.sessions, "session"),
                    spell_seconds(each.longest_wait_seconds),
                    _text(", ".join(each.application_names)) or NONE,
                    _text(cause_of(each)),
                    _code(each.sql) if each.sql else NONE,
                )
                for each in revision.stalls
            ],
        )
    if revision.failed_tries:
        yield from _table(
            ("at", "lock try took", "then stood aside", "SQLSTATE", "in the way"),
            [
                (
                    spell_moment(each.started_seconds),
                    spell_seconds(each.duration_seconds),
                    spell_seconds(each.paused_seconds),
                    each.sqlstate,
                    "; ".join(f"{_text(blocker.name)} with {spell_mode(blocker.mode)}" for blocker in each.blockers)
                    or "not seen",
                )
                for each in revision.failed_tries
            ],
        )
    if revision.statements:
        shown = revision.statements[:_MOST_ROWS]
        yield from _table(
            ("at", "took", "statement", "locks taken, and how long held"),
            [_statement(revision, each) for each in shown],
        )
        left_out = len(revision.statements) - len(shown) + revision.statements_left_out
        if left_out:
            yield ""
            yield f"{count(left_out, 'more statement')}: see the report as HTML or JSON."


def _statement(revision: RevisionTimeline, each: Statement) -> Sequence[str]:
    times = f" {TIMES} {each.executions:,}" if each.executions > 1 else ""
    result = "" if each.result == "done" else f" **{each.result.replace('_', ' ')}**"
    telling = revision.telling_locks_of(each)
    locks = [
        f"{spell_mode(lock.mode)} on {_code(lock.relation)}, {spell_seconds(lock.held_seconds)}"
        for lock in telling[:_MOST_LOCKS]
    ]
    if len(telling) > _MOST_LOCKS:
        locks.append(f"and {len(telling) - _MOST_LOCKS:,} more")
    return (
        spell_moment(each.started_seconds),
        spell_seconds(each.duration_seconds),
        f"{_code(each.sql)}{times}{result}",
        "<br>".join(locks) or NONE,
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Return a code span: fenced by more backticks than it holds, a bar escaped as tables need it."""
    text = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (max(map(len, _BACKTICKS.findall(text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
