"""What the review gate asks of Git."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sage_migrate.errors import UsageError

# A hook of Git's own is started with these; the questions here are about the working tree.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True, kw_only=True)
class Person:
    """An author."""

    name: str
    email: str


@dataclass(frozen=True)
class Repository:
    """The repository around a directory."""

    top: Path

    @cached_property
    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
        return {**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}

    def commit(self, reference: str) -> str | None:
        """Return the commit that ``reference`` names, None where it names none here."""
        if reference.startswith("-"):
            return None  # an option, for every command
        done = self._run("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}", check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def fork_point(self, base: str) -> str | None:
        """Return where HEAD parted from ``base``, None where the history at hand does not tell."""
        done = self._run("merge-base", base, "HEAD", check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def is_shallow(self) -> bool:
        """Tell whether a part of the history is missing."""
        return self._run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def changed(self, since: str, within: Iterable[Path]) -> list[Path]:
        """Return what differs from commit ``since`` below ``within``, committed or not; deleted files too."""
        return self._paths("diff", "--name-only", "--no-renames", "-z", "--no-ext-diff", since, within=within)

    def untracked(self, within: Iterable[Path]) -> list[Path]:
        """Return the files that nobody has added, and that are not ignored."""
        return self._paths("ls-files", "--others", "--exclude-standard", "--full-name", "-z", within=within)

    def contents(self, commit: str, paths: Iterable[Path]) -> dict[Path, bytes]:
        """Return what the files were in ``commit``; one that was not there is left out."""
        asked = [path for path in paths if path.is_relative_to(self.top) and "\n" not in str(path)]
        names = "".join(f"{commit}:{path.relative_to(self.top).as_posix()}\n" for path in asked)
        answer = self._run("cat-file", "--batch", stdin=os.fsencode(names)).stdout if asked else b""
        found: dict[Path, bytes] = {}
        for path in asked:
            head, _, answer = answer.partition(b"\n")
            if head.endswith((b" missing", b" ambiguous")):
                continue
            size = int(head.rpartition(b" ")[2])
            if b" blob " in head:
                found[path] = answer[:size]
            answer = answer[size + 1 :]
        return found

    def author(self, path: Path, since: str | None) -> Person | None:
        """Return who first committed the file after ``since``; who would commit it, where nobody has."""
        span = ["HEAD"] if since is None else [f"{since}..HEAD"]
        log = self._run("log", "--follow", "--format=%aN%x00%aE", *span, "--", str(path), check=False)
        lines = log.stdout.decode(errors="replace").splitlines()
        if lines:
            name, _, email = lines[-1].partition("\0")
            return Person(name=name, email=email)
        identity = self._run("var", "GIT_AUTHOR_IDENT", check=False).stdout.decode(errors="replace")
        name, _, rest = identity.partition(" <")
        return Person(name=name, email=rest.partition(">")[0]) if rest else None

    def _paths(self, *command: str, within: Iterable[Path]) -> list[Path]:
        inside = [str(each) for each in within if each.is_relative_to(self.top)]
        if not inside:
            return []
        answer = self._run(
            *command, "--", *(f":(top,literal){Path(each).relative_to(self.top).as_posix()}" for each in inside)
        )
        return [self.top / os.fsdecode(each) for each in answer.stdout.split(b"\0") if each]

    def _run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(  # noqa: S603  arguments are ours, paths and references are never options
            ["git", "-C", str(self.top), *arguments],  # noqa: S607  the developer's own git
            input=stdin,
            capture_output=True,
            check=False,
            env=self._environment,
        )
        if check and done.returncode != 0:
            raise _unusable(self.top, done.stderr)
        return done


def find_repository(directory: Path) -> Repository | None:
    """Return the repository around ``directory``, None where there is none.

    Raises:
        UsageError: there is one, and Git is not installed or does not want to read it.
    """
    top = next((each for each in (directory, *directory.parents) if (each / ".git").exists()), None)
    if top is None:
        return None
    try:
        Repository(top)._run("rev-parse", "--git-dir")  # noqa: SLF001  the module's own
    except OSError as error:
        raise UsageError(f"{top} is a Git repository, and git is not to be had.", remedy="Install git.") from error
    return Repository(top)


def _unusable(top: Path, words: bytes) -> UsageError:
    first = next(iter(words.decode(errors="replace").splitlines()), "no reason given")
    return UsageError(f"Git cannot read {top}: {first}.", remedy="Run the same git command by hand; it says more.")
