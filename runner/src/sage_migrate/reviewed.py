"""Refuses a pending revision that is not, byte for byte, the reviewed one. The image carries the list of those."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sage_migrate.errors import NotReviewedError, UsageError
from sage_migrate.logs import log
from sage_migrate.settings import Settings

MANIFEST = "reviewed.json"
"""Written by `sage-migrate review export` into the migration directory, so that it is copied with it."""


def check_reviewed(settings: Settings, directory: Path, pending: Mapping[str, Path]) -> None:
    """Compare the file of each pending revision, and what it imports, with what was reviewed.

    ``directory`` is the migration directory.

    Raises:
        NotReviewedError: one differs, and this run was not told to apply it all the same.
        UsageError: it was, and nobody said why.
    """
    if not pending:
        return
    allowed = {each.strip() for each in (settings.allow_unreviewed or "").split(",")} - {""}
    if allowed and not settings.reason:
        raise UsageError(
            f"Revision {', '.join(sorted(allowed))} is to be applied without a review, and no reason is given.",
            remedy="Add --reason (SAGE_MIGRATE_REASON, Helm: migration.reason); it is logged.",
        )
    directory = directory.resolve()
    reviewed, problem = _read_manifest(directory / MANIFEST)
    for revision, path in pending.items():
        why = problem or _difference(reviewed.get(revision), path, directory)
        if why and revision in allowed:
            log.warning("unreviewed_allowed", revision=revision, why=why, reason=settings.reason)
        elif why:
            raise NotReviewedError(
                f"Revision {revision} is pending, and is not the one that was reviewed: {why}.",
                remedy="Review it (sage-migrate review stub), and build the image anew with sage-migrate review export. "
                f"Once, with a reason: --allow-unreviewed {revision} --reason … (SAGE_MIGRATE_ALLOW_UNREVIEWED, "
                "Helm: migration.allowUnreviewed).",
                facts={"revision": revision},
            )


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file with its line endings as Git keeps them."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")).hexdigest()


def describe(path: Path, taken_in: Sequence[Path], directory: Path) -> dict[str, Any]:
    """Return the entry of the revision at ``path`` in a manifest of ``directory``."""
    return {
        "sha256": digest_file(path),
        "imports": {Path(os.path.relpath(each, directory)).as_posix(): digest_file(each) for each in taken_in},
    }


def _read_manifest(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the reviewed revisions, and why they cannot be told."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != 1:
            return {}, f"{path.name} has a version that this image cannot read, {found['version']}"
        return dict(found["revisions"]), ""
    except FileNotFoundError:
        return {}, f"there is no {path}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, f"{path} cannot be read ({type(error).__name__})"


def _difference(entry: Any, path: Path, directory: Path) -> str:
    if entry is None:
        return f"{MANIFEST} does not have it"
    try:
        if digest_file(path) != entry["sha256"]:
            return f"{path.name} was changed since"
        for name, digest in entry["imports"].items():
            if not (directory / name).is_file():
                return f"{name}, which it imports, is missing"
            if digest_file(directory / name) != digest:
                return f"{name}, which it imports, was changed since"
    except (OSError, KeyError, TypeError, AttributeError) as error:
        return f"what {MANIFEST} says of it cannot be read ({type(error).__name__})"
    return ""
