"""Reads cycle docs: the entries of the section "Migration review", each with its lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sage_migrate.review.entries import FACTS, FIELDS, SECTION, Entry, Flaw, Item

_LINE_END = re.compile(r"\r\n|\n|\r")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w-]*)")
_SECTION = re.compile(rf" {{0,3}}##\s+{SECTION}\s*#*\s*", re.IGNORECASE)
_HEADING = re.compile(r" {0,3}(#{1,3})(?:\s+(.*?))?\s*#*\s*")
_REVISION = re.compile(r"`?([\w.-]+?)`?(?:[:\s].*)?")
_BULLET = re.compile(r"(\s*)(?:[-*+]|\d+[.)])\s+(?:\[(.?)\](?!\()\s*)?(.*)")
# Hazards are single words with underscores: `data_loss`.
_NAMED = re.compile(
    rf"(?:\*\*|__)?({'|'.join(FIELDS)}|`?[a-z]+(?:_[a-z]+)+`?)\s*(?:\*\*|__)?\s*:\s*(?:\*\*|__)?\s*(.*)", re.IGNORECASE
)
_SPELLED = {name.lower(): name for name in FIELDS}


@dataclass(frozen=True, kw_only=True)
class Document:
    """A cycle doc as it was read; ``lines`` without their ends."""

    path: Path
    lines: list[str]
    line_end: str
    entries: tuple[Entry, ...]
    flaws: tuple[Flaw, ...]
    section_end: int | None
    """The 1-based line after which another entry goes, None without a section."""


def read_document(path: Path, raw: bytes) -> Document:
    """Return what ``raw``, the content of ``path``, says."""
    flaws: list[Flaw] = []
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        flaws.append(
            Flaw(path=path, line=number, message="This line is no UTF-8, so it may not be read as it was meant.")
        )
        text = raw.decode("utf-8-sig", errors="replace")
    lines = _LINE_END.split(text)
    reader = _Reader(path=path, flaws=flaws)
    for number, line in enumerate(_without_comments(lines), 1):
        reader.take(number, line)
    reader.end()
    return Document(
        path=path,
        lines=lines,
        line_end="\r\n" if "\r\n" in text else "\n",
        entries=tuple(reader.entries),
        flaws=tuple(flaws),
        section_end=reader.section_end,
    )


def _without_comments(lines: list[str]) -> Iterator[str]:
    """Yield each line without its part in an HTML comment; in a fence nothing is a comment."""
    inside, fence = False, ""
    for line in lines:
        if fence:
            fence = "" if _closes(line, fence) else fence
            yield line
        elif not inside and (match := _FENCE.match(line)):
            fence = match[1]
            yield line
        else:
            kept, rest = "", line
            while rest:
                before, mark, rest = rest.partition("-->" if inside else "<!--")
                kept += "" if inside else before
                inside = inside != bool(mark)
            yield kept


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return bool(fence) and len(stripped) >= len(fence) and set(stripped) == {fence[0]}


@dataclass(kw_only=True)
class _Reader:
    """Takes lines one after the other."""

    path: Path
    flaws: list[Flaw]
    entries: list[Entry] = field(default_factory=list)
    section_end: int | None = None
    in_section: bool = False
    is_lost: bool = False
    """Below a heading that was no good, which was said."""
    fence: str = ""
    fence_line: int = 0
    in_facts: bool = False
    revision: str = ""
    start: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    facts_lines: tuple[int, int] | None = None
    items: list[Item] = field(default_factory=list)
    goes_on: bool = False
    """Whether the next line may belong to the item before."""
    last: int = 0

    def take(self, number: int, line: str) -> None:
        if self.fence:
            self._in_fence(number, line)
        elif match := _FENCE.match(line):
            self.fence, self.fence_line, self.goes_on = match[1], number, False
            if match[2] == "review" and self.revision:
                self._begin_facts(number)
        elif match := _HEADING.fullmatch(line):
            self._heading(number, line, len(match[1]), match[2] or "")
        elif self.revision:
            self._content(number, line)
        elif self.in_section and not self.is_lost and (box := _BULLET.fullmatch(line)) and box[2] is not None:
            self._flaw(
                number,
                "This box stands in no entry.",
                "Put it below a heading with a revision: ### `REVISION` what it is.",
            )
        if line.strip():
            self.last = number

    def end(self) -> None:
        if self.fence:
            self._flaw(self.fence_line, f"The block that {self.fence} opens here is never closed.")
        self._end_entry()
        if self.in_section:
            self.section_end = self.last

    def _heading(self, number: int, line: str, level: int, text: str) -> None:
        self._end_entry()
        self.is_lost = False
        if level < 3:  # noqa: PLR2004  an entry's heading
            if self.in_section:
                self.section_end = self.last
            self.in_section = _SECTION.fullmatch(line) is not None
        elif self.in_section:
            match = _REVISION.fullmatch(text)
            if match is None:
                self.is_lost = True
                self._flaw(number, "This heading names no revision.", "Begin it so: ### `REVISION` what it is.")
                return
            self.revision, self.start = match[1], number
            self.facts, self.facts_lines, self.items, self.goes_on = {}, None, [], False

    def _end_entry(self) -> None:
        if self.revision:
            self.entries.append(
                Entry(
                    revision=self.revision,
                    path=self.path,
                    line=self.start,
                    facts=self.facts,
                    items=tuple(self.items),
                    last_line=self.last,
                    facts_lines=self.facts_lines,
                )
            )
        self.revision = ""

    def _begin_facts(self, number: int) -> None:
        self.in_facts = True
        if self.facts_lines:
            self._flaw(
                number, f"{self.revision} has a second block `review`.", "Keep the one that `review stub` refreshes."
            )
        self.facts_lines = (number, number)

    def _in_fence(self, number: int, line: str) -> None:
        if _closes(line, self.fence):
            if self.in_facts and self.facts_lines:
                self.facts_lines = (self.facts_lines[0], number)
            self.fence, self.in_facts = "", False
        elif self.in_facts and line.strip():
            name, colon, value = line.partition(":")
            if not colon or name.strip() not in FACTS:
                self._flaw(
                    number,
                    f"'{line.strip()}' is no line of a block `review`; they begin with {', '.join(FACTS)}.",
                    "Write below the block what is yours to say: `review stub` writes the block anew.",
                )
            elif name.strip() in self.facts:
                self._flaw(number, f"{name.strip()} stands twice in the block of {self.revision}.")
            else:
                self.facts[name.strip()] = value.strip()

    def _content(self, number: int, line: str) -> None:
        bullet = _BULLET.fullmatch(line)
        if bullet is None:
            if line.strip() and self.goes_on:
                self.items[-1] = Item(
                    **{**vars(self.items[-1]), "text": f"{self.items[-1].text} {line.strip()}".strip()}
                )
            self.goes_on = self.goes_on and bool(line.strip())
            return
        indentation, box, text = bullet.groups()
        if box is not None and box not in (" ", "x", "X"):
            self._flaw(number, f"'[{box}]' is no box.", "An open one is [ ], a ticked one [x].")
        named = _NAMED.fullmatch(text)
        if named is None and len(indentation) > 1 and box is None and self.goes_on:
            self.items[-1] = Item(**{**vars(self.items[-1]), "text": f"{self.items[-1].text} {text}".strip()})
            return
        name = _SPELLED.get(named[1].lower(), named[1].strip("`").lower()) if named else ""
        if name in FIELDS and any(each.name == name for each in self.items):
            self._flaw(number, f"{self.revision} says {name} a second time.", "Keep one of the two.")
        self.items.append(
            Item(
                name=name,
                text=(named[2] if named else text).strip(),
                line=number,
                is_open=box == " ",
            )
        )
        self.goes_on = True

    def _flaw(self, number: int, message: str, remedy: str = "") -> None:
        self.flaws.append(
            Flaw(path=self.path, line=number, message=message, help=f"Instead: {remedy}" if remedy else "")
        )
