"""The versions of the template that this package ships, as a Git repository: what copier needs to update a service."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from sage_migrate import __version__
from sage_migrate.errors import UsageError

TEMPLATE = Path(__file__).parent / "template"
# What earlier releases rendered, one archive a release whose template differs from the next one's: VERSION.zip.
PREVIOUS = Path(__file__).parent / "previous"
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "sage-migrate"), ("EMAIL", "sage-migrate@localhost"), ("DATE", "2026-01-01T00:00:00Z"))
}
# What points Git to a repository that is not the one in the working directory: set in its hooks.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


def make_repository(
    directory: Path, *, current: Path = TEMPLATE, version: str = __version__, previous: Path = PREVIOUS
) -> Path:
    """Make a repository in ``directory`` with one commit and tag for each version, the current one last.

    Raises:
        UsageError: there is no Git.
    """
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    for archive in sorted(previous.glob("*.zip"), key=lambda path: _numbers(path.stem)):
        with zipfile.ZipFile(archive) as template:
            template.extractall(directory)
        _commit(directory, archive.stem)
    shutil.copytree(current, directory, dirs_exist_ok=True)
    _commit(directory, version)
    return directory


def git(directory: Path, *arguments: str) -> str:
    """Run Git there, deaf to the user's own settings, and return what it prints.

    Raises:
        UsageError: there is no Git.
    """
    environment = own_environment() | _IDENTITY | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=directory,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise UsageError("There is no git, which the template is read by.", remedy="Install Git.") from error
    return done.stdout


def own_environment() -> dict[str, str]:
    """Return the environment without what would lead Git elsewhere, as within a hook."""
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def _commit(directory: Path, version: str) -> None:
    """Commit what is there as ``version``, and clear the directory for the next one."""
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--allow-empty", "--no-gpg-sign", f"--message={version}")
    git(directory, "tag", "--no-sign", version)
    for path in directory.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
