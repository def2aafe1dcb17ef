"""What a branch brings: its new and changed revisions, and the reviews that it touches; told by Git, so little is read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sage_migrate.errors import UsageError
from sage_migrate.review.document import read_document
from sage_migrate.review.elsewhere import read_front_matter, read_reviews_toml
from sage_migrate.review.entries import Entry, Flaw
from sage_migrate.review.git import Repository, find_repository
from sage_migrate.review.revisions import ReviewedRevision, ancestors, known_identifiers, read_all, read_revision
from sage_migrate.review.settings import TABLE, ReviewSettings

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}.*\.md")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What there is to judge."""

    revisions: tuple[ReviewedRevision, ...]
    entries: tuple[Entry, ...]
    """All that speak of ``revisions``, and all in the files that the branch touches; the newest file last."""
    orphans: tuple[Entry, ...]
    """New entries for revisions that do not exist."""
    flaws: tuple[Flaw, ...]
    documents: tuple[Path, ...]
    """The reviews' files that the branch touches."""
    repository: Repository | None
    fork: str | None
    """Where the branch parted from the base; None where every revision is judged."""


def find_changes(settings: ReviewSettings, *, everything: bool = False, tracked_only: bool = False) -> Changes:
    """Return what differs from the base; with ``everything``, or without a repository, all that is there.

    Raises:
        UsageError: the base, or where the branch parted from it, cannot be told.
    """
    repository = find_repository(settings.locations.directory)
    if repository is None or everything:
        return _all_there_is(settings, repository)
    base, fork = _base(repository, settings)
    directories = (*settings.locations.versions, settings.docs, *([settings.reviews] if settings.reviews else ()))
    touched = set(repository.changed(fork, directories))
    if not tracked_only:
        touched |= set(repository.untracked(directories))
    paths = sorted(touched)
    versions = [each for each in paths if each.suffix == ".py" and _is_below(each, settings.locations.versions)]
    before = [repository.contents(commit, versions) for commit in dict.fromkeys((base, fork))]
    known: dict[str, set[str]] = {}
    for each in (read_revision(path, raw, settings.locations) for found in before for path, raw in found.items()):
        if isinstance(each, ReviewedRevision):
            known.setdefault(each.identifier, set()).add(each.own)
    read = [read_revision(path, path.read_bytes(), settings.locations) for path in versions if path.is_file()]
    revisions = [
        replace(each, on_base=each.identifier in known)
        for each in read
        if isinstance(each, ReviewedRevision) and each.own not in known.get(each.identifier, ())
    ]
    documents = [each for each in paths if each not in versions and each.is_file() and holds_reviews(each, settings)]
    were = repository.contents(fork, [each for each in paths if each not in versions and holds_reviews(each, settings)])
    entries, flaws = _read({path: path.read_bytes() for path in documents}, settings)
    old = {each.revision for each in _read(were, settings)[0]}
    fresh = {each.revision for each in entries} - old
    ids = set(known_identifiers(settings.locations)) if fresh else set[str]()
    missing = {each.identifier for each in revisions} - {each.revision for each in entries}
    elsewhere, _ = _read(_speaking_of(missing, settings, documents), settings)
    return Changes(
        revisions=tuple(revisions),
        entries=(*(each for each in elsewhere if each.revision in missing), *entries),
        orphans=tuple(each for each in entries if each.revision in fresh - ids),
        flaws=(*(each for each in read if isinstance(each, Flaw)), *flaws),
        documents=tuple(documents),
        repository=repository,
        fork=fork,
    )


def _all_there_is(settings: ReviewSettings, repository: Repository | None) -> Changes:
    revisions, flaws = read_all(settings.locations)
    needless = ancestors(revisions, settings.baseline)
    lost = [each for each in settings.baseline if not ancestors(revisions, [each])]
    if lost:
        raise UsageError(
            f"baseline in [{TABLE}] names {lost[0]}, which is no revision here.", remedy="Name the last one of before."
        )
    documents = sorted(each for each in _files(settings) if holds_reviews(each, settings))
    entries, unreadable = _read({path: path.read_bytes() for path in documents}, settings)
    return Changes(
        revisions=tuple(each for each in revisions if each.identifier not in needless),
        entries=tuple(entries),
        orphans=(),  # a revision that was squashed leaves its review behind, and without a base nobody can tell
        flaws=(*flaws, *unreadable),
        documents=tuple(documents),
        repository=repository,
        fork=None,
    )


def _base(repository: Repository, settings: ReviewSettings) -> tuple[str, str]:
    """Return the base, and where HEAD parted from it."""
    shallow = " The clone is shallow." if repository.is_shallow() else ""
    deeper = "git fetch origin main, or in CI the whole history (actions/checkout: fetch-depth: 0)"
    base = repository.commit(settings.base)
    if base is None:
        raise UsageError(
            f"There is no {settings.base} in this clone, so what is new cannot be told.{shallow}",
            remedy=f"Fetch it ({deeper}), name another with --base, or judge every revision with --all.",
        )
    fork = repository.fork_point(base)
    if fork is None:
        raise UsageError(
            f"HEAD and {settings.base} have no ancestor in common in this clone.{shallow}",
            remedy=f"Fetch more of the history ({deeper}), or name another with --base.",
        )
    return base, fork


def holds_reviews(path: Path, settings: ReviewSettings) -> bool:
    """Tell whether ``path`` is a cycle doc, a document with a front matter that counts, or the file of all reviews."""
    if path == settings.reviews:
        return True
    return (
        path.suffix == ".md"
        and path.is_relative_to(settings.docs)
        and bool(_DATED.fullmatch(path.name) or settings.front_matter)
    )


def _files(settings: ReviewSettings) -> list[Path]:
    found = list(settings.docs.rglob("*.md")) if settings.docs.is_dir() else []
    return [*found, *([settings.reviews] if settings.reviews and settings.reviews.is_file() else [])]


def _speaking_of(revisions: set[str], settings: ReviewSettings, read: Iterable[Path]) -> dict[Path, bytes]:
    """Return the files that are not ``read`` yet and have the id of one of ``revisions`` in them."""
    if not revisions:
        return {}
    wanted = re.compile(b"|".join(re.escape(each.encode()) for each in sorted(revisions)))
    others = (each for each in sorted(_files(settings)) if each not in read and holds_reviews(each, settings))
    return {path: raw for path in others if wanted.search(raw := path.read_bytes())}


def _read(files: dict[Path, bytes], settings: ReviewSettings) -> tuple[list[Entry], list[Flaw]]:
    entries: list[Entry] = []
    flaws: list[Flaw] = []
    for path, raw in sorted(files.items()):
        if path == settings.reviews:
            found, wrong = read_reviews_toml(path, raw)
        else:
            document = read_document(path, raw)
            found, wrong = list(document.entries), list(document.flaws)
            if settings.front_matter:
                more, flawed = read_front_matter(path, raw, settings.front_matter)
                found, wrong = [*more, *found], [*flawed, *wrong]
        entries += found
        flaws += wrong
    return entries, flaws


def _is_below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(each) for each in directories)
