"""Judges reviews: each revision has one, of what it does now, answered and signed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sage_migrate.lint.findings import Severity, Violation
from sage_migrate.review.changes import Changes
from sage_migrate.review.entries import DOES, OLD_CODE, PLAN, REVIEWER, ROLLBACK, TABLES, Entry, Flaw, Item
from sage_migrate.review.git import Person
from sage_migrate.review.revisions import ReviewedRevision
from sage_migrate.review.settings import ReviewSettings
from sage_migrate.review.signatures import only_author_signed, read_names

RULES = {
    "review-missing": "SM501",
    "review-stale": "SM502",
    "box-open": "SM503",
    "placeholder-left": "SM504",
    "reviewer-missing": "SM505",
    "reviewed-by-author": "SM506",
    "contract-without-plan": "SM507",
    "review-without-revision": "SM508",
    "answer-missing": "SM509",
    "hazard-not-named": "SM510",
    "review-twice": "SM511",
    "review-unreadable": "SM512",
}
"""By the bad pattern."""
WHILE_DRAFT = frozenset(
    (
        "box-open",
        "placeholder-left",
        "reviewer-missing",
        "reviewed-by-author",
        "contract-without-plan",
        "answer-missing",
    )
)
"""What only people can heal: advice as long as the revision is a draft."""
WHAT_HAZARDS_ASK = (OLD_CODE, TABLES, ROLLBACK)
_STUB = "sage-migrate review stub"
# As a whole, whatever their case; or in capitals anywhere.
_NOTHING = re.compile(
    r"(?:todo|tbd|tbc|wip|fixme|xxx+|lorem ipsum.*|ditto|see above|as above|\?+|\.+|…+|-+|_+|<[^>]*>|\{[^}]*\})\W*",
    re.IGNORECASE,
)
_MARKER = re.compile(r"\b(?:TODO|TBD|TBC|FIXME|XXX)\b")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What there is to say, of how many revisions, and which of them are not reviewed."""

    violations: tuple[Violation, ...]
    revisions: int
    unreviewed: frozenset[str]


def judge(
    changes: Changes, settings: ReviewSettings, hazards: Mapping[Path, set[str]], *, draft: bool = False
) -> Judgement:
    """Return what is wrong with the reviews of ``changes``; ``hazards`` are those that lint found in a file."""
    found = [*_of_flaws(changes.flaws)]
    by_revision: dict[str, list[Entry]] = {}
    for entry in changes.entries:
        by_revision.setdefault(entry.revision, []).append(entry)
    judged = [each for each in changes.revisions if not each.only_joins]
    unreviewed: set[str] = set()
    for revision in judged:
        entries = by_revision.get(revision.identifier, [])
        wrong = list(of_revision(revision, entries, changes, settings, hazards.get(revision.path, set())))
        found += wrong
        unreviewed |= {revision.identifier} if wrong else set()
    found += [
        _violation(
            "review-without-revision",
            entry.path,
            entry.line,
            f"This reviews {entry.revision}, and there is no such revision.",
            "Instead: remove the entry, or write the id that the revision has now.",
        )
        for entry in changes.orphans
    ]
    if draft:
        found = [replace(each, severity="warning") if each.rule in WHILE_DRAFT else each for each in found]
    return Judgement(
        violations=tuple(sorted(dict.fromkeys(found), key=lambda each: (each.path, each.line, each.code))),
        revisions=len(judged),
        unreviewed=frozenset(unreviewed),
    )


def of_revision(
    revision: ReviewedRevision, entries: list[Entry], changes: Changes, settings: ReviewSettings, hazards: set[str]
) -> Iterator[Violation]:
    """Yield what is wrong with the review of one revision."""
    name = revision.identifier
    for path in sorted({each.path for each in entries}):
        same = [each for each in entries if each.path == path]
        if len(same) > 1:
            yield _violation(
                "review-twice",
                path,
                same[1].line,
                f"{name} is reviewed twice here, first in line {same[0].line}.",
                "Instead: keep one.",
            )
    if not entries:
        landed = f" It is on {settings.base} already, and what it does was changed since." if revision.on_base else ""
        yield _violation(
            "review-missing",
            revision.path,
            _line_of(revision),
            f"Revision {name} has no review: nobody has signed that it may run.{landed}",
            f"Instead: {_STUB}, then answer and sign what it wrote.",
        )
        return
    # With a base all is compared; without one, a module that changed since makes no old review stale.
    current = [each for each in entries if is_current(each, revision, whole=changes.fork is not None)]
    if not current:
        yield _stale(entries[-1], revision, settings)
        return
    yield from of_entry(current[-1], revision, hazards)
    yield from _of_signature(current[-1], revision, changes, settings)


def is_current(entry: Entry, revision: ReviewedRevision, *, whole: bool) -> bool:
    """Tell whether what was reviewed is what the revision does; ``whole`` looks at what it imports too."""
    content = entry.content.strip("`")
    return content == revision.content if whole else content.partition("+")[0] == revision.own


def of_entry(entry: Entry, revision: ReviewedRevision, hazards: Iterable[str] = ()) -> Iterator[Violation]:
    """Yield what an entry leaves unsaid."""
    named = set(entry.hazards)
    unnamed = sorted(set(hazards) - named)
    if unnamed:
        yield _violation(
            "hazard-not-named",
            entry.path,
            entry.line,
            f"The review of {entry.revision} does not name what lint finds in it: {', '.join(unnamed)}.",
            f"Instead: {_STUB} names it; then say why it may be so.",
        )
    asked = [
        DOES,
        *(WHAT_HAZARDS_ASK if named else ()),
        *([PLAN] if revision.is_contract else []),
        *sorted(named),
        REVIEWER,
    ]
    unanswered = [name for name in asked if not _answers(entry.item(name))]
    for name in unanswered:
        yield _unanswered(entry, name, entry.item(name))
    for item in entry.items:
        if _is_placeholder(item.text):
            yield _violation(
                "placeholder-left",
                entry.path,
                item.line,
                f"{item.name or 'An item'} of {entry.revision} is still a placeholder: {item.text}",
                "Instead: write what is so, or remove the line where nothing asks for it.",
            )
        elif item.is_open and item.name not in unanswered:
            yield _violation(
                "box-open",
                entry.path,
                item.line,
                f"{item.name or item.text or 'An item'} of {entry.revision} is not ticked: nobody has confirmed it.",
                "Instead: tick it, [x], when it is true.",
            )


def _answers(item: Item | None) -> bool:
    """Tell whether an item says something, be it a placeholder, which is found as such."""
    if item is None or _is_placeholder(item.text):
        return item is not None
    return bool(read_names(item.text) if item.name == REVIEWER else _plain(item.text))


def _unanswered(entry: Entry, name: str, item: Item | None) -> Violation:
    line = item.line if item else entry.line
    if name == REVIEWER:
        return _violation(
            "reviewer-missing",
            entry.path,
            line,
            f"Nobody has signed the review of {entry.revision}.",
            "Instead: - [x] Reviewer: the name of who read it.",
        )
    if name == PLAN:
        return _violation(
            "contract-without-plan",
            entry.path,
            line,
            f"{entry.revision} is a contract revision, and its review has no plan: since which release nothing uses what it takes away.",
            "Instead: - [x] Plan: the release that stopped using it, and how you know.",
        )
    why = "" if name == DOES else f", which its hazards ({', '.join(entry.hazards)}) ask for"
    return _violation(
        "answer-missing",
        entry.path,
        line,
        f"The review of {entry.revision} does not say {name}{why}.",
        f"Instead: - [x] {name}: …",
    )


def _of_signature(
    entry: Entry, revision: ReviewedRevision, changes: Changes, settings: ReviewSettings
) -> Iterator[Violation]:
    item = entry.item(REVIEWER)
    signed = read_names(item.text) if item and not _is_placeholder(item.text) else []
    if settings.self_review or not signed:
        return
    authors = [Person(name=entry.facts["author"], email="")] if entry.facts.get("author") else []
    if changes.repository is not None and changes.fork is not None:
        author = changes.repository.author(revision.path, changes.fork)
        authors += [author] if author else []
    if item and only_author_signed(signed, authors):
        yield _violation(
            "reviewed-by-author",
            entry.path,
            item.line,
            f"{entry.revision} was reviewed by its author alone ({item.text}).",
            "Instead: let somebody else read and sign it, or set self-review = true in [tool.sage-migrate.review].",
        )


def _stale(entry: Entry, revision: ReviewedRevision, settings: ReviewSettings) -> Violation:
    line = entry.facts_lines[0] if entry.facts_lines else entry.line
    if not entry.content:
        what = f"The review of {entry.revision} does not say which content it is of."
    elif revision.on_base:
        what = f"{entry.revision} is on {settings.base} already, and what it does was changed since its review."
    elif entry.content.partition("+")[0] == revision.own:
        taken_in = ", ".join(each.name for each in revision.taken_in) or "nothing any more"
        what = f"What {entry.revision} takes in ({taken_in}) was changed since the review."
    else:
        what = f"What {entry.revision} does was changed since the review."
    return _violation(
        "review-stale", entry.path, line, what, f"Instead: {_STUB} opens it again; then read it anew and sign."
    )


def _of_flaws(flaws: Iterable[Flaw]) -> Iterator[Violation]:
    for each in flaws:
        yield _violation("review-unreadable", each.path, each.line, each.message, each.help)


def _is_placeholder(text: str) -> bool:
    prose = re.sub(r"`[^`]*`", "", text)  # a table may be called so
    return bool(_NOTHING.fullmatch(text.strip()) or _MARKER.search(prose))


def _plain(text: str) -> str:
    """Return what is left of a text without marks."""
    return re.sub(r"[\s*_`~.:-]", "", text)


def _line_of(revision: ReviewedRevision) -> int:
    lines = revision.source.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(b"revision")), 1)


def _violation(rule: str, path: Path, line: int, message: str, remedy: str) -> Violation:
    severity: Severity = "error"
    return Violation(
        code=RULES[rule],
        rule=rule,
        hazards=(),
        path=shown(path),
        line=line,
        column=1,
        severity=severity,
        message=message,
        help=remedy,
    )


def shown(path: Path) -> str:
    """Return a path as a person here would write it."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
