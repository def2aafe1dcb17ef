"""Which revisions are traced, and which ones come before: BASE:HEAD, or what the working tree adds to the default branch."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import RevisionStep
from alembic.util import CommandError

from sage_migrate.errors import HistoryBrokenError, UsageError
from sage_migrate.project import Project, parents_of

_REVISION = re.compile(r"^revision\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_DEFAULT_BRANCHES = ("refs/remotes/origin/HEAD", "origin/main", "origin/master", "main", "master")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Revisions in the order in which they are applied."""

    before: tuple[str, ...]
    pending: tuple[str, ...]
    base: tuple[str, ...]
    """The heads of what comes before."""
    head: tuple[str, ...]
    git_base: str | None = None
    """The commit that the range starts from, where Git told it."""


def find_range(project: Project, text: str | None) -> Range:
    """Return what ``text`` (``BASE:HEAD``, either may be missing) stands for, without it what Git says is new.

    Raises:
        UsageError: a revision that does not exist, or no Git to tell what is new.
    """
    commit = None
    if text:
        first, colon, last = text.partition(":")
        heads = _resolve(project, last or "heads")
        old = project.ancestors(_resolve(project, first)) if first not in ("", "base") else set()
        if not colon and not first:
            raise UsageError("The range is empty.", remedy="Write BASE:HEAD.")
    else:
        commit = merge_base(Path(project.script.dir))
        old = _revisions_at(commit, Path(project.script.dir), project)
        heads = project.heads
    order = _in_order(project, heads)
    pending: list[str] = []
    before: list[str] = []
    fresh: set[str] = set()
    for revision in order:
        follows_pending = any(parent in fresh for parent in parents_of(project.scripts[revision]))
        if revision not in old or follows_pending:
            fresh.add(revision)
            pending.append(revision)
        else:
            before.append(revision)
    return Range(
        before=tuple(before),
        pending=tuple(pending),
        base=_heads_of(project, before),
        head=_heads_of(project, [*before, *pending]),
        git_base=commit,
    )


def steps_for(project: Project, heads: tuple[str, ...]) -> dict[str, RevisionStep]:
    """Return fresh steps up to ``heads``, by revision, in the order in which Alembic applies them."""
    # The call that alembic.command makes: there is no public one that yields steps.
    steps = project.script._upgrade_revs(heads or "base", ())  # type: ignore[arg-type]  # noqa: SLF001
    return {step.revision.revision: step for step in steps if isinstance(step, RevisionStep)}


def merge_base(directory: Path) -> str:
    """Return the commit at which this work left the default branch.

    Raises:
        UsageError: no Git, or no default branch.
    """
    asked = os.environ.get("GITHUB_BASE_REF")
    for name in ([f"origin/{asked}"] if asked else []) + list(_DEFAULT_BRANCHES):
        found = _git(directory, "merge-base", "HEAD", name)
        if found:
            return found.strip()
    raise UsageError(
        "Git does not tell which revisions are new here: there is no repository, or none of the branches origin/HEAD, main and master.",
        remedy="Name the range: sage-migrate trace BASE:HEAD (in CI, fetch the default branch too: fetch-depth: 0).",
    )


def _resolve(project: Project, name: str) -> tuple[str, ...]:
    if name == "heads":
        return project.heads
    try:
        found = project.resolve(name)
    except HistoryBrokenError as error:
        raise UsageError(error.what, remedy=error.remedy) from error
    if not found:
        raise UsageError(f"'{name}' is no revision of this history.", remedy="Name one that `alembic history` lists.")
    return found


def _in_order(project: Project, heads: tuple[str, ...]) -> list[str]:
    try:
        return list(steps_for(project, heads))
    except CommandError as error:
        raise UsageError(f"The history cannot be put into an order: {error}.") from error


def _heads_of(project: Project, revisions: list[str]) -> tuple[str, ...]:
    followed = {parent for each in revisions for parent in parents_of(project.scripts[each])}
    return tuple(each for each in revisions if each not in followed)


def _revisions_at(commit: str, directory: Path, project: Project) -> set[str]:
    """Return the revisions whose files ``commit`` has, also under another name."""
    folders = {str(Path(script.path).parent) for script in project.scripts.values()} or {str(directory)}
    found: set[str] = set()
    for folder in folders:
        text = _git(Path(folder), "grep", "-hE", r"^revision\b.*=", commit, "--", ".") or ""
        found.update(_REVISION.findall(text))
    return found


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  our own arguments
            ["git", "-C", str(directory), *arguments],  # noqa: S607  the user's own Git
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
