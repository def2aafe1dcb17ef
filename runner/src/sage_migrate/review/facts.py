"""What can be told of a revision without a person: by lint, by a trace, by Git, by the header of its own file."""

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.review.entries import DOES, FIELDS
from sage_migrate.review.revisions import ReviewedRevision

NO_LOCKS = "none that blocks reads or writes"


@dataclass(kw_only=True)
class Foreseen:
    """What lint makes of a revision."""

    locks: dict[str, set[str]] = field(default_factory=dict)
    """Tables by lock mode."""
    work: set[str] = field(default_factory=set)
    hazards: dict[str, set[str]] = field(default_factory=dict)
    """Codes by hazard."""


def has_lint() -> bool:
    """Tell whether PostgreSQL's grammar is there."""
    try:
        import pglast.parser  # noqa: F401
    except ImportError:
        return False
    return True


def foresee(revisions: Iterable[ReviewedRevision], off: frozenset[str], *, locks: bool) -> dict[Path, Foreseen]:
    """Return what lint, without the rules that are ``off``, finds in each revision; its hazards of advice count as well.

    ``locks`` asks for locks and work too, which takes as long again.
    """
    from sage_migrate.lint.check import Settings, lint

    found = {each.path: Foreseen() for each in revisions}
    if not found:
        return found
    for violation in lint(Settings(paths=tuple(found), off=off)):
        path = Path(violation.path).resolve()
        for hazard in violation.hazards if path in found else ():
            found[path].hazards.setdefault(hazard, set()).add(violation.code)
    for path, foreseen in found.items() if locks else ():
        _add_locks(path, foreseen)
    return found


def _add_locks(path: Path, foreseen: Foreseen) -> None:
    from sage_migrate.lint.analysis import Analysis
    from sage_migrate.lint.check import check_revision
    from sage_migrate.lint.reader.operations import read_revision
    from sage_migrate.lint.revisions import ancestors_that_matter, in_order, read_revision_file
    from sage_migrate.lint.schema import Schema

    revision = read_revision_file(path)
    if revision is None:
        return
    schema = Schema()
    before = [read_revision_file(each) for each in ancestors_that_matter(revision)]
    for each in in_order([found for found in before if found is not None]):
        list(check_revision(each, schema, set(), silent=True))
    for step in Analysis(statements=read_revision(path, revision.tree), schema=schema).steps():
        for table, mode in step.effects.locks.items():
            foreseen.locks.setdefault(mode, set()).add(table)
        foreseen.work |= {f"{each.what} of {each.table}" for each in step.effects.work}


def read_trace(path: Path) -> dict[str, dict[str, Any]]:
    """Return the revisions of a trace (``sage-migrate trace --format json``), by id.

    Raises:
        UsageError: it is not one.
    """
    try:
        return {str(each["revision"]): dict(each) for each in json.loads(path.read_text(encoding="utf-8"))["revisions"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no trace: {type(error).__name__}: {error}.",
            remedy="Write it by sage-migrate trace --format json.",
        ) from error


def facts_of(
    revision: ReviewedRevision,
    author: str,
    foreseen: Foreseen | None,
    traced: Mapping[str, Any] | None,
    before: Mapping[str, str],
) -> dict[str, str]:
    """Return the lines of the block; what stood there ``before`` stays where nobody can tell better."""
    same = before.get("content") == revision.content
    facts = {"content": revision.content, "author": before.get("author") or author}
    hazards: dict[str, set[str]] = {}
    if foreseen is not None:
        facts["locks"] = (
            "; ".join(f"{mode} on {', '.join(sorted(on))}" for mode, on in sorted(foreseen.locks.items())) or NO_LOCKS
        )
        facts["work"] = "; ".join(sorted(foreseen.work)) or "none"
        hazards = {name: set(codes) for name, codes in foreseen.hazards.items()}
    if traced is not None:
        facts["trace"] = "; ".join(_measured(traced)) or "no locks"
        for each in traced.get("hazards", ()):
            for name in each.get("hazards", ()):
                hazards.setdefault(str(name), set()).add(str(each.get("code", "trace")))
    elif same and before.get("trace"):
        facts["trace"] = before["trace"]
    if (foreseen is None or traced is None) and same:
        for name, codes in _named(before.get("hazards", "")):
            hazards.setdefault(name, set()).update(codes)
    facts["hazards"] = (
        ", ".join(f"{name} ({' '.join(sorted(codes))})" if codes else name for name, codes in sorted(hazards.items()))
        or "none"
    )
    return {**({name: before[name] for name in ("locks", "work") if same and name in before}), **facts}


def _named(text: str) -> Iterator[tuple[str, set[str]]]:
    for each in re.finditer(r"([a-z_]+)(?:\s*\(([^)]*)\))?", text):
        if each[1] != "none":
            yield each[1], set((each[2] or "").split())


def _measured(traced: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a trace saw: the longest hold of each lock, rewrites, scans, and how old code fared."""
    held: dict[tuple[str, str], float] = {}
    other: dict[str, None] = {}
    for statement in traced.get("statements", ()):
        for lock in statement.get("locks", ()):
            key = (str(lock["mode"]), str(lock["relation"]))
            held[key] = max(held.get(key, 0.0), float(lock.get("held_seconds") or 0))
        other |= dict.fromkeys(f"rewrites {_relation(each)}" for each in statement.get("rewrites", ()))
        other |= dict.fromkeys(f"scans {_relation(each)}" for each in statement.get("scans", ()))
    yield from (f"{mode} on {relation} for {seconds:.3f} s" for (mode, relation), seconds in sorted(held.items()))
    yield from other
    if traced.get("compatible_with_old_code") is not None:
        yield "old code goes on" if traced["compatible_with_old_code"] else "old code breaks"


def _relation(value: object) -> str:
    return str(value.get("relation", value)) if isinstance(value, dict) else str(value)


def said_in_header(revision: ReviewedRevision) -> dict[str, str]:
    """Return what the docstring of the file says under the names of our fields; its first line, where it says no Does."""
    header = ast.get_docstring(revision.tree) or ""
    said: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in inspect.cleandoc(header).splitlines():
        name, colon, text = line.partition(":")
        if colon and name in FIELDS:
            current = said.setdefault(name, [])
            current.append(text.strip())
        elif current is not None and line.startswith((" ", "\t")):
            current.append(line.strip())
        else:
            current = None
    found = {name: " ".join(filter(None, parts)) for name, parts in said.items()}
    found[DOES] = found.get(DOES) or title_of(revision)
    return found


def title_of(revision: ReviewedRevision) -> str:
    """Return the first line of the docstring, which is the message that the revision was made with."""
    header = ast.get_docstring(revision.tree) or ""
    return header.strip().partition("\n")[0].strip().rstrip(".")
