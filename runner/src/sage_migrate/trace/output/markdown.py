"""For a comment on a pull request: the verdict first, then one table a revision."""

import re
from collections.abc import Iterator

from sage_migrate.redact import shorten_sql
from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.words import NONE, TIMES, count, spell_seconds
from sage_migrate.trace.output.text import facts_of, message_of, outcome_of, telling_locks
from sage_migrate.trace.results import Hazard, RevisionTrace, Statement, Trace

MARK = "<!-- sage-migrate trace -->"
"""By this line the comment is found again, and updated."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
_BACKTICKS = re.compile(r"`+")
_MOST_STATEMENTS = 40
# GitHub takes 65,536 characters.
_MOST_CHARACTERS = 60_000


def as_markdown(trace: Trace) -> str:
    """Return the comment."""
    text = "\n".join(_lines(trace))
    if len(text) <= _MOST_CHARACTERS:
        return text
    cut = text.rindex("\n", 0, _MOST_CHARACTERS)
    ends = "\n</details>" * (text.count("<details>", 0, cut) - text.count("</details>", 0, cut))
    return f"{text[:cut]}{ends}\n\nCut off here; the rest is in the other formats."


def _lines(trace: Trace) -> Iterator[str]:
    yield MARK
    if not trace.revisions:
        yield "### sage-migrate trace: no revision is new"
        return
    yield f"### sage-migrate trace: {verdict(trace)}"
    yield ""
    yield "| revision | verdict | statements | longest strong lock | hazards |"
    yield "|---|---|--:|---|---|"
    for revision in trace.revisions:
        title = f"{_code(revision.revision)} {_text(revision.description)}"
        cells = (title, _verdict(revision), str(len(revision.statements)), _strongest(revision), _codes(revision))
        yield f"| {' | '.join(cells)} |"
    yield from _versions(trace)
    for revision in trace.revisions:
        yield from _revision(revision)
    for check in trace.checks:
        if not check.passed:
            yield ""
            yield f"**{_text(check.name)}**: {_text(check.message)}"
    yield ""
    for note in trace.notes:
        yield f"- {_text(note)}"
    yield ""
    yield f"PostgreSQL {trace.server}; old code: {_text(trace.old_code)}; {spell_seconds(trace.duration_seconds)}."


def _versions(trace: Trace) -> Iterator[str]:
    if trace.versions:
        yield ""
        yield f"| revision | {' | '.join(f'PostgreSQL {_text(each.server)}' for each in trace.versions)} |"
        yield f"|---|{'---|' * len(trace.versions)}"
        for cells in outcomes(trace):
            yield f"| {' | '.join((_code(cells[0]), *cells[1:]))} |"


def outcomes(trace: Trace) -> Iterator[tuple[str, ...]]:
    """Yield each revision with what became of it on each version."""
    found = [{each.revision: outcome_of(each) for each in one.revisions} for one in trace.versions]
    for revision in trace.revisions:
        yield revision.revision, *(each.get(revision.revision, NONE) for each in found)


def verdict(trace: Trace) -> str:
    """Return the outcome in a few words."""
    hazards = sum(hazard.severity == "error" for each in trace.revisions for hazard in each.hazards)
    failed = sum(bool(each.problem) for each in trace.revisions)
    checks = sum(not each.passed for each in trace.checks)
    parts = [count(hazards, "hazard")] if hazards else []
    parts += [f"{count(failed, 'revision')} failed"] if failed else []
    parts += [f"{count(checks, 'check')} failed"] if checks else []
    return f"{', '.join(parts) or 'nothing found'} in {count(len(trace.revisions), 'revision')}"


def _verdict(revision: RevisionTrace) -> str:
    if revision.problem:
        return "**does not run**"
    declared = " (declared)" if revision.declared == "contract" else ""
    return f"{'**contract**' if revision.verdict == 'contract' else 'expand'}{declared}"


def _strongest(revision: RevisionTrace) -> str:
    locks = [lock for each in revision.statements for lock in telling_locks(each)]
    if not locks:
        return NONE
    longest = max(locks, key=lambda lock: (lock.effect, lock.held_seconds))
    return f"{spell_mode(longest.mode)} on {_code(longest.relation)}, {spell_seconds(longest.held_seconds)}"


def _codes(revision: RevisionTrace) -> str:
    return ", ".join(dict.fromkeys(hazard.code for hazard in revision.hazards)) or NONE


def _revision(revision: RevisionTrace) -> Iterator[str]:
    yield ""
    if revision.problem:
        yield f"**{_code(revision.revision)} does not run**: {_text(revision.problem)}"
    for hazard in revision.hazards:
        yield from _hazard(hazard, revision)
    for note in revision.notes:
        yield f"- {_text(note)}"
    if revision.statements:
        yield ""
        yield f"<details><summary>{count(len(revision.statements), 'statement')} of <code>{_html(revision.revision)}</code></summary>"
        yield ""
        yield "| took | statement | what it did |"
        yield "|--:|---|---|"
        for each in revision.statements[:_MOST_STATEMENTS]:
            yield _statement(each)
        if len(revision.statements) > _MOST_STATEMENTS:
            yield f"| | | and {len(revision.statements) - _MOST_STATEMENTS} more |"
        yield ""
        yield "</details>"


def _hazard(hazard: Hazard, revision: RevisionTrace) -> Iterator[str]:
    line = f":{hazard.line}" if hazard.line else ""
    yield f"- **{hazard.code}** {_text(', '.join(hazard.hazards))} at {_code(revision.path + line)}: {_text(message_of(hazard))}"
    for proof in hazard.evidence:
        yield f"  - old code, {_text(proof)}"
    if hazard.help:
        yield ""
        yield from (f"  {line}" for line in _fence(hazard.help))


def _fence(text: str) -> list[str]:
    first, _, rest = text.partition("\n")
    if not rest:
        return [_text(first)]
    fence = "`" * max(3, 1 + max((len(each) for each in _BACKTICKS.findall(rest)), default=0))
    return [_text(first), f"{fence}python", *rest.splitlines(), fence]


def _statement(statement: Statement) -> str:
    times = f" {TIMES} {statement.executions:,}" if statement.executions > 1 else ""
    facts = "<br>".join(_text(fact) for fact in facts_of(statement)) or NONE
    return f"| {spell_seconds(statement.duration_seconds)} | {_code(shorten_sql(statement.sql, literals=True))}{times} | {facts} |"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("@", "@\N{ZERO WIDTH SPACE}")


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _code(text: str) -> str:
    ticks = "`" * (1 + max((len(each) for each in _BACKTICKS.findall(text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", "\\|")
