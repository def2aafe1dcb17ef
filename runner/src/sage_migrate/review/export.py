"""Writes the list of reviewed revisions that goes into the image: their bytes, and those of what they import."""

import json
from collections.abc import Iterable
from pathlib import Path

from sage_migrate.review.locations import Locations
from sage_migrate.review.revisions import ReviewedRevision
from sage_migrate.reviewed import describe


def as_manifest(revisions: Iterable[ReviewedRevision], locations: Locations) -> str:
    """Return the manifest, a revision on each line."""
    lines = [
        f"  {json.dumps(each.identifier)}: {json.dumps(describe(each.path, each.taken_in, locations.scripts), sort_keys=True)}"
        for each in sorted(revisions, key=lambda each: each.identifier)
    ]
    body = ",\n".join(lines)
    return f'{{"version": 1, "revisions": {{\n{body}\n}}}}\n'


def write_manifest(path: Path, text: str) -> None:
    """Write it, and its directory where that is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
