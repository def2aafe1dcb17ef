"""Which revisions the gate has known in this database: how an older image tells "ahead of me" from "unknown to me".

It is kept as a comment on Alembic's version table, the one table that autogenerate and ``alembic check`` never
look at, so no project has to exempt anything. Every role can read a comment; it follows ``pg_dump``. A revision
is recorded with its parents, its phase and the image that knew it, before or with the transaction that applies it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

_MARK = "sage-migrate lineage v1: "


@dataclass(frozen=True, kw_only=True)
class Known:
    """One revision as the lineage records it."""

    parents: tuple[str, ...]
    contract: bool = False
    image: str = ""
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a full run that ended well leaves for `sage_migrate.fast_path`."""

    fingerprint: str
    heads: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BackfillMark:
    """How far a revision's backfill is: the pass over its table, and the key of the last row that is done."""

    number: int = 1
    key: tuple[str, ...] = ()
    """Its columns and their types."""
    after: tuple[str, ...] = ()
    rows: int = 0
    """Those that were set."""
    scanned: int = 0
    """Those that were looked at, in all passes, in so many `seconds`; of the last batch of a pass as many as it might have had."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Lineage:
    """The recorded revisions, and the part of the table's comment that is not ours."""

    revisions: Mapping[str, Known] = field(default_factory=dict)
    own_comment: str = ""
    proof: Proof | None = None
    backfills: Mapping[str, BackfillMark] = field(default_factory=dict)
    """Of the revisions whose backfill was begun and that are not applied yet."""

    def with_backfill(self, revision: str, mark: BackfillMark | None) -> "Lineage":
        """Return the lineage with the mark of one backfill replaced; None where its revision is applied."""
        others = {name: each for name, each in self.backfills.items() if name != revision}
        return replace(self, backfills={**others, revision: mark} if mark else others)

    def merge(self, known: Mapping[str, Known]) -> "Lineage":
        """Return the lineage with ``known`` in it; an unchanged revision keeps who recorded it first."""
        merged = dict(self.revisions)
        for revision, entry in known.items():
            before = merged.get(revision)
            if before is None or (before.parents, before.contract) != (entry.parents, entry.contract):
                merged[revision] = entry
        return replace(self, revisions=merged)

    def ancestors(self, revisions: Iterable[str]) -> set[str]:
        """Return ``revisions`` and all their recorded ancestors."""
        found: set[str] = set()
        queue = list(revisions)
        while queue:
            revision = queue.pop()
            if revision not in found:
                found.add(revision)
                queue.extend(self.revisions[revision].parents if revision in self.revisions else ())
        return found

    def why_not_ahead(self, current: Iterable[str], required: Iterable[str]) -> str | None:
        """Return why a database at ``current`` is not shown to be ahead of ``required``; None when it is.

        It is when every required revision is an ancestor of where the database is, and nothing in between
        is a contract revision, which would have taken away what the older code needs.
        """
        current, required = list(current), list(required)
        unknown = sorted(set(current) - set(self.revisions))
        if unknown:
            return f"the lineage recorded in the database does not know {', '.join(unknown)}"
        reached = self.ancestors(current)
        missing = sorted(set(required) - reached)
        if missing:
            return f"{', '.join(missing)} is no ancestor of {', '.join(current)}"
        since = reached - self.ancestors(required)
        contracts = sorted(
            revision for revision in since if revision in self.revisions and self.revisions[revision].contract
        )
        if contracts:
            return f"the contract revision {', '.join(contracts)} was applied since"
        return None

    def to_comment(self) -> str:
        """Return the table's comment; images and times are written once each."""
        sources = sorted({(entry.image, entry.at) for entry in self.revisions.values()})
        entries = {
            revision: [
                list(entry.parents),
                sources.index((entry.image, entry.at)),
                *(["contract"] if entry.contract else []),
            ]
            for revision, entry in sorted(self.revisions.items())
        }
        stored: dict[str, object] = {"sources": sources, "revisions": entries}
        if self.proof is not None:
            stored["proof"] = [self.proof.fingerprint, *self.proof.heads]
        if self.backfills:
            stored["backfills"] = {
                name: {**asdict(mark), "seconds": round(mark.seconds, 3)}
                for name, mark in sorted(self.backfills.items())
            }
        ours = _MARK + json.dumps(stored, separators=(",", ":"))
        return f"{self.own_comment}\n{ours}" if self.own_comment else ours


def parse_lineage(comment: str | None) -> Lineage:
    """Return the lineage in a table's comment; an unreadable one counts as none, and the next run rewrites it."""
    own, mark, text = (comment or "").partition(_MARK)
    own = own.rstrip("\n")
    if not mark:
        return Lineage(own_comment=own)
    try:
        stored = json.loads(text)
        sources = stored["sources"]
        revisions = {
            revision: Known(
                parents=tuple(entry[0]),
                image=sources[entry[1]][0],
                at=sources[entry[1]][1],
                contract="contract" in entry[2:],
            )
            for revision, entry in stored["revisions"].items()
        }
        backfills = {revision: _parse_mark(mark) for revision, mark in stored.get("backfills", {}).items()}
        mark, *heads = stored.get("proof") or [""]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Lineage(own_comment=own)
    return Lineage(revisions, own, Proof(fingerprint=mark, heads=tuple(heads)) if mark else None, backfills)


def _parse_mark(stored: Mapping[str, Any]) -> BackfillMark:
    # A newer runner may note more, and its lineage counts all the same.
    known: dict[str, Any] = {each.name: stored[each.name] for each in fields(BackfillMark) if each.name in stored}
    return BackfillMark(**known | {name: tuple(known.get(name, ())) for name in ("key", "after")})
