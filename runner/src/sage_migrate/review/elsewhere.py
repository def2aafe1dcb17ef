"""Reviews that a team keeps elsewhere: the front matter of its own documents, or one plain `reviews.toml`."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_migrate.review.entries import FACTS, FIELDS, Entry, Flaw, Item

KEYS = {name.lower().replace(" ", "-"): name for name in FIELDS}
"""As they are spelled in TOML, and in the mapping of a front matter."""
_LISTED = re.compile(r"\s*-\s+(.*)")
_PAIR = re.compile(r"([\w.-]+)\s*:(?:\s+(.*))?")


def read_reviews_toml(path: Path, raw: bytes) -> tuple[list[Entry], list[Flaw]]:
    """Return the tables of ``reviews.toml``: one a revision, its keys those of an entry; hazards are keys too."""
    try:
        text = raw.decode("utf-8-sig")
        tables = tomllib.loads(text)
    except ValueError as error:
        place = re.search(r"at line (\d+)", str(error))
        return [], [Flaw(path=path, line=int(place[1]) if place else 1, message=f"This is no TOML: {error}.")]
    entries, flaws = [], []
    lines = text.splitlines()
    for revision, table in tables.items():
        heading = re.compile(rf"\s*\[\s*[\"']?{re.escape(revision)}[\"']?\s*\]")
        line = next((number for number, each in enumerate(lines, 1) if heading.match(each)), 1)
        if not isinstance(table, dict):
            flaws.append(
                Flaw(
                    path=path,
                    line=line,
                    message=f"{revision} is no table.",
                    help="Instead: a table for each revision: [REVISION]",
                )
            )
            continue
        entry, unknown = _entry(revision, path, line, table)
        entries.append(entry)
        if unknown:
            flaws.append(
                Flaw(
                    path=path,
                    line=line,
                    message=f"The review of {revision} has keys that say nothing here: {', '.join(unknown)}.",
                    help=f"Instead: {', '.join((*FACTS, *KEYS))}, or the name of a hazard.",
                )
            )
    return entries, flaws


def read_front_matter(path: Path, raw: bytes, mapping: Mapping[str, str]) -> tuple[list[Entry], list[Flaw]]:
    """Return the review in a document's front matter, whose keys ``mapping`` gives for ours; none where it names no revision."""
    lines = raw.decode("utf-8-sig", errors="replace").splitlines()
    fence = lines[0].strip() if lines else ""
    if fence not in ("---", "+++"):
        return [], []
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == fence), None)
    if end is None:
        return [], [Flaw(path=path, line=1, message="The front matter is never closed.")]
    head = lines[1:end]
    try:
        given = dict(_yaml(head)) if fence == "---" else tomllib.loads("\n".join(head))
    except ValueError as error:
        return [], [Flaw(path=path, line=1, message=f"The front matter is no TOML: {error}.")]
    table = {ours: given[theirs] for ours, theirs in mapping.items() if theirs in given}
    revisions = table.pop("revision", None)
    entries = []
    for revision in revisions if isinstance(revisions, list) else [revisions]:
        if revision:
            key = re.compile(rf"[\"']?{re.escape(mapping['revision'])}[\"']?\s*[:=]")
            line = next((number for number, each in enumerate(lines, 1) if key.match(each)), 1)
            entries.append(_entry(str(revision), path, line, table)[0])
    return entries, []


def _entry(revision: str, path: Path, line: int, table: Mapping[str, object]) -> tuple[Entry, list[str]]:
    facts, items, unknown = {}, [], []
    for key, value in table.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        name = key.replace("_", "-").lower()
        if key in FACTS:
            facts[key] = text
        elif name in KEYS or "_" in key:
            items.append(Item(name=KEYS.get(name, key), text=text, line=line))
        else:
            unknown.append(key)
    return Entry(revision=revision, path=path, line=line, facts=facts, items=tuple(items)), unknown


def _yaml(lines: list[str]) -> Iterator[tuple[str, object]]:
    """Yield the pairs of flat YAML: scalars, and lists of them. What is nested is nobody's review."""
    key, listed = "", list[str]()
    for line in (*lines, "end:"):
        pair, item = _PAIR.fullmatch(line.rstrip()), _LISTED.fullmatch(line.rstrip())
        if pair:
            if key and listed:
                yield key, listed
            key, listed = pair[1], []
            text = (pair[2] or "").strip()
            if text.startswith("[") and text.endswith("]"):
                yield key, [_scalar(each) for each in text[1:-1].split(",") if each.strip()]
            elif text:
                yield key, _scalar(text)
        elif item and key:
            listed.append(_scalar(item[1]))


def _scalar(text: str) -> str:
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "\"'":
        return stripped[1:-1]
    return re.sub(r"\s+#.*", "", stripped)
