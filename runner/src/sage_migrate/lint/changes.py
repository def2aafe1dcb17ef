"""What a branch has changed, as git tells: files that are new, and lines of the others."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sage_migrate.errors import UsageError
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.source_statement import statement_at

_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Paths are absolute."""

    new: frozenset[Path]
    lines: dict[Path, frozenset[int]]

    def is_new(self, path: Path) -> bool:
        """Tell whether the file is not there at the base."""
        return path.resolve() in self.new

    def touch(self, violation: Violation) -> bool:
        """Tell whether the statement of a finding is new or was changed."""
        path = Path(violation.path).resolve()
        if path in self.new:
            return True
        statement = statement_at(violation.path, violation.line)
        return any(statement.first <= line <= statement.last for line in self.lines.get(path, ()))


def read_changes(base: str) -> Changes:
    """Return what has changed since HEAD's branch left ``base``, with what is not committed yet.

    Raises:
        UsageError: there is no git, no repository, no such commit, or no common history.
    """
    root = Path(_git("rev-parse", "--show-toplevel", what="Nothing can be compared").rstrip("\n")).resolve()
    commit = _git("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}", what=f"There is no commit {base}")
    fork = _git(
        *("merge-base", commit.strip(), "HEAD"),
        what=f"{base} and HEAD have no common commit here",
        remedy="In CI, fetch more of the history: fetch-depth: 0.",
    ).strip()
    relative = ("-c", "diff.relative=false")
    options = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
    added = _git(*relative, "diff", *options, "--name-only", "--diff-filter=A", "-z", fork)
    untracked = _git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/")
    patch = _git(
        *relative, *("-c", "core.quotePath=false", "diff"), *options, "--no-prefix", "--unified=0", fork, "--", ":/*.py"
    )
    return Changes(
        new=frozenset(root / name for name in (added + untracked).split("\0") if name),
        lines=_changed_lines(root, patch),
    )


def _changed_lines(root: Path, patch: str) -> dict[Path, frozenset[int]]:
    found: dict[Path, set[int]] = {}
    path, skipped = root, 0
    for line in patch.split("\n"):
        if skipped > 0 and line[:1] in ("+", "-"):
            skipped -= 1
        elif line.startswith("+++ "):
            path = root / line.removeprefix("+++ ").rstrip("\t")
        elif hunk := _HUNK.match(line):
            removed, first, count = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
            skipped = removed + count
            # Where lines were only taken out, what stands on both sides has changed.
            found.setdefault(path, set()).update(range(first, first + count) if count else (first, first + 1))
    return {each: frozenset(lines) for each, lines in found.items()}


def _git(*arguments: str, what: str = "git failed", remedy: str = "") -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607  no shell; the user's git
    except OSError as error:
        raise UsageError("--diff needs git, which could not be started.", remedy="Install git.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{what}: {said[0] if said else 'git says no more'}.", remedy=remedy)
    return done.stdout.decode("utf-8", "surrogateescape")
