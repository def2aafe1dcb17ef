"""Writes entries, or refreshes what is not a person's in them: no word that somebody wrote is lost."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sage_migrate.errors import UsageError
from sage_migrate.review.check import WHAT_HAZARDS_ASK, is_current
from sage_migrate.review.document import Document, read_document
from sage_migrate.review.entries import DOES, FACTS, PLAN, REVIEWER, SECTION, Entry
from sage_migrate.review.facts import NO_LOCKS
from sage_migrate.review.revisions import ReviewedRevision

TEMPLATE = f"# {{title}}\n\nWhat changes for whom, and what is deployed with it.\n\n## {SECTION}\n"
_SEEN = r"([A-Za-z ]+ on \S+ for [\d.]+ s|(rewrites|scans) \S+|old code (goes on|breaks))"
# What stands in the block by our own hand; anything else there is somebody's note.
_OURS = {
    "content": re.compile(r"[0-9a-f]{24}(\+[0-9a-f]{24})?"),
    "author": re.compile(r".*"),
    "locks": re.compile(rf"{NO_LOCKS}|[A-Z ]+ on \S+(, \S+)*(; [A-Z ]+ on \S+(, \S+)*)*"),
    "work": re.compile(r"none|(index build|[a-z]+) of \S+(; (index build|[a-z]+) of \S+)*"),
    "hazards": re.compile(r"none|[a-z_]+( \([^)]*\))?(, [a-z_]+( \([^)]*\))?)*"),
    "trace": re.compile(rf"no locks|{_SEEN}(; {_SEEN})*"),
}
_BOX = re.compile(r"^(\s*(?:[-*+]|\d+[.)])\s+)(?:\[[xX ]\]\s+)?")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What there is to write of one revision."""

    revision: ReviewedRevision
    title: str
    facts: Mapping[str, str]
    said: Mapping[str, str]
    """What the author says already, by field: to be confirmed by the reviewer."""

    @property
    def asked(self) -> list[str]:
        """What the entry has to answer, in order."""
        hazards = Entry(revision="", path=Path(), line=0, facts=self.facts).hazards
        return [
            DOES,
            *(WHAT_HAZARDS_ASK if hazards else ()),
            *([PLAN] if self.revision.is_contract else []),
            *hazards,
            REVIEWER,
        ]


def new_document(path: Path, title: str) -> bytes:
    """Return a cycle doc without entries: the team's own TEMPLATE.md beside it, or ours."""
    own = path.with_name("TEMPLATE.md")
    text = own.read_text(encoding="utf-8") if own.is_file() else TEMPLATE
    return text.replace("{title}", title).replace("{date}", path.name[:10]).encode()


def document_name(title: str, today: dt.date) -> str:
    """Return the file name of a cycle doc."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50].rstrip("-")
    return f"{today:%Y-%m-%d}-{slug or 'migration'}.md"


def write_drafts(path: Path, raw: bytes, drafts: Iterable[Draft]) -> bytes:
    """Return a document with the entries of ``drafts`` written or refreshed.

    Raises:
        UsageError: the document has flaws, so that it is not certain what is whose.
    """
    for draft in drafts:
        document = read_document(path, raw)
        if document.flaws:
            flaw = document.flaws[0]
            raise UsageError(
                f"{path} line {flaw.line}: {flaw.message}", remedy=flaw.help or "Correct it, then run this again."
            )
        entry = next((each for each in document.entries if each.revision == draft.revision.identifier), None)
        lines = _appended(document, draft) if entry is None else _refreshed(document, entry, draft)
        text = document.line_end.join(lines)
        raw = (b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b"") + text.encode()
    return raw


def _appended(document: Document, draft: Draft) -> list[str]:
    lines = list(document.lines)
    entry = ["", f"### `{draft.revision.identifier}` {draft.title}".rstrip(), "", *_block(draft.facts), ""]
    entry += [_box(name, draft.said.get(name, "")) for name in draft.asked]
    if document.section_end is None:
        while lines and not lines[-1].strip():
            lines.pop()
        return [*lines, *([""] if lines else []), f"## {SECTION}", *entry, ""]
    end = document.section_end
    rest = lines[end:]
    return [*lines[:end], *entry, *(rest if any(each.strip() for each in rest) else [""])]


def _refreshed(document: Document, entry: Entry, draft: Draft) -> list[str]:
    """Return the lines with a fresh block; where the revision does something else now, every box is open again."""
    lines = list(document.lines)
    stale = not is_current(entry, draft.revision, whole=True)
    if stale:
        for item in entry.items:
            lines[item.line - 1] = _BOX.sub(r"\1[ ] ", lines[item.line - 1], count=1)
    end = entry.last_line
    missing = [_box(name, draft.said.get(name, "")) for name in draft.asked if entry.item(name) is None]
    missing += [
        f"- [ ] Note on {name}: {entry.facts[name]}"
        for name in FACTS
        if entry.facts.get(name) and not _OURS[name].fullmatch(entry.facts[name])
    ]
    # The signature stays last.
    signature = entry.item(REVIEWER)
    before = signature.line - 1 if signature and signature.line > (entry.facts_lines or (0, 0))[1] else end
    lines[before:before] = missing
    block = _block(draft.facts)
    if entry.facts_lines:
        lines[entry.facts_lines[0] - 1 : entry.facts_lines[1]] = block
    else:
        lines[entry.line : entry.line] = ["", *block]
    return lines


def _block(facts: Mapping[str, str]) -> list[str]:
    width = max(map(len, FACTS)) + 1
    return ["```review", *(f"{f'{name}:':{width}} {facts[name]}" for name in FACTS if facts.get(name)), "```"]


def _box(name: str, text: str) -> str:
    return f"- [ ] {name}: {text}".rstrip()
