"""Run copier on the template that this package ships, with no network."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sage_migrate import __version__
from sage_migrate.errors import UsageError
from sage_migrate.scaffold.template_history import git, make_repository, own_environment

ANSWERS = ".copier-answers.yml"
# What a service remembers as the template's address; Git is told for the time of a run what it stands for.
SOURCE = "sage-migrate:service.git"


@contextmanager
def template_repository() -> Iterator[Path]:
    """Give the repository of all versions of the template that this package ships."""
    with tempfile.TemporaryDirectory(prefix="sage-migrate-") as directory:
        yield make_repository(Path(directory) / "template")


def render(
    repository: Path, directory: Path, answers: Mapping[str, str], *, ask: bool, version: str = __version__
) -> None:
    """Render ``version`` into ``directory``; questions without an answer are asked, or their defaults taken.

    Raises:
        UsageError: an answer that cannot be used.
    """
    given = [f"--data={name}={value}" for name, value in answers.items()]
    _copier(repository, ["copy", *given, f"--vcs-ref={version}", SOURCE, str(directory)], ask=ask)


def update(repository: Path, directory: Path, version: str = __version__) -> list[str]:
    """Bring a service to ``version``, with what its people changed; return the files in which both changed the same lines.

    Raises:
        UsageError: it cannot be updated as it stands.
    """
    was = _rendered_by(directory)
    known = git(repository, "tag").split()
    if was not in known:
        raise UsageError(
            f"The service was rendered by sage-migrate {was}, whose template this one ({version}) does not have.",
            remedy="Install a newer sage-migrate.",
        )
    status = _git_status(directory)
    if status is None:
        raise UsageError(f"{directory} is in no Git repository, so an update could not be told from your changes.",
                         remedy="git init, and commit it.")  # fmt: skip
    if status:
        raise UsageError(
            f"{directory} has changes that are not committed. Nothing was updated.", remedy="Commit or stash them."
        )
    _copier(repository, ["update", f"--vcs-ref={version}", "--conflict=inline", str(directory)], ask=False)
    return [line[3:] for line in _git_status(directory) or () if line[:2] in ("UU", "AA", "DU", "UD")]


def _copier(repository: Path, arguments: list[str], *, ask: bool) -> None:
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    environment = own_environment() | {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"url.{repository}.insteadOf",
        f"GIT_CONFIG_VALUE_{count}": SOURCE,
        "COPIER_CACHE_DIR": str(repository.with_name("cache")),
    }
    command, *rest = arguments
    # The template is ours: its tasks sort imports and break lines, which depends on the names that were chosen.
    options = ["--quiet", "--trust", *([] if ask else ["--defaults"])]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "copier", command, *options, *rest],
        env=environment,
        check=False,
        stderr=None if ask else subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        said = [line.strip() for line in (done.stderr or "").splitlines() if line.strip()]
        reason = (
            re.sub(r"^\w+Error: (Validation error for question '\w+': )?", "", said[-1]) if said else "it was given up"
        )
        raise UsageError(f"Nothing was rendered: {reason}.", remedy="`--data NAME=VALUE` gives an answer.")


def _rendered_by(directory: Path) -> str:
    import yaml

    file = directory / ANSWERS
    answers = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if answers.get("_src_path") != SOURCE:
        raise UsageError(
            f"{directory} was not made by `sage-migrate init`: it has no {ANSWERS} that says so.",
            remedy="`sage-migrate init --into` adds the gate to an existing service.",
        )
    return str(answers["_commit"])


def _git_status(directory: Path) -> list[str] | None:
    """Return what `git status` lists there, or None outside of a repository."""
    done = subprocess.run(
        ["git", "status", "--porcelain", "--", "."],  # noqa: S607
        cwd=directory,
        env=own_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines() if done.returncode == 0 else None
