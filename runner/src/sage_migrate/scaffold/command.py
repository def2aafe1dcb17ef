"""The command `sage-migrate init`: a new service, the gate for an existing one, or a newer template for an old one."""

import argparse
import datetime as dt
import importlib.util
import json
import shutil
import sys
import tempfile
import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from sage_migrate import __version__
from sage_migrate.errors import UsageError

# Answered by the command, once for the life of a service.
_GIVEN = {"created", "first_revision"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "directory", nargs="?", type=Path, metavar="DIR", help="the new service; with --update, an old one"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=VALUE", help="an answer, so that it is not asked for"
    )
    parser.add_argument("--defaults", action="store_true", help="ask nothing: take the default of every other answer")
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="add the gate to an existing service, overwriting nothing"
    )
    parser.add_argument("--update", action="store_true", help="bring a service to the template of this version")


def run(arguments: argparse.Namespace) -> int:
    """Do one of the three; 0 done, 1 an update met changes of the same lines.

    Raises:
        UsageError: copier is missing, or something stands in the way.
    """
    if importlib.util.find_spec("copier") is None:
        raise UsageError("init needs copier.", remedy="pip install 'sage-migrate[init]'.")
    if arguments.into:
        if arguments.directory or arguments.update:
            raise UsageError("--into is given with another directory.", remedy="Write: sage-migrate init --into DIR.")
        from sage_migrate.scaffold.into import add_gate

        sys.stdout.write(add_gate(arguments.into, _answers(arguments.data)))
        return 0
    if arguments.update:
        return _update(arguments.directory or Path())
    if arguments.directory is None:
        raise UsageError("No directory is named.", remedy="Write: sage-migrate init DIR.")
    return _create(arguments.directory, _answers(arguments.data), ask=not arguments.defaults)


def _create(directory: Path, answers: Mapping[str, str], *, ask: bool) -> int:
    from sage_migrate.scaffold.render import render, template_repository

    there = sorted(path.name for path in directory.iterdir() if path.name != ".git") if directory.is_dir() else []
    if there or (directory.exists() and not directory.is_dir()):
        what = (
            f"is not empty: it has {', '.join(there[:3])}{' and more' if there[3:] else ''}" if there else "is a file"
        )
        raise UsageError(
            f"{directory} {what}. Nothing was written.",
            remedy="Name another directory; `init --into DIR` adds the gate to an existing service.",
        )
    if ask and not sys.stdin.isatty():
        raise UsageError(
            "There is nobody to ask: standard input is no terminal.",
            remedy="Give --defaults, and --data NAME=VALUE for what is not the default.",
        )
    given = {
        "created": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "first_revision": uuid.uuid4().hex[-12:],
    }
    # Rendered elsewhere first: where it fails, nothing is left behind.
    with template_repository() as repository, tempfile.TemporaryDirectory(prefix="sage-migrate-") as temporary:
        rendered = Path(temporary) / directory.resolve().name
        render(repository, rendered, {**given, **answers}, ask=ask)
        shutil.copytree(rendered, directory, dirs_exist_ok=True)
        files = sum(path.is_file() for path in rendered.rglob("*"))
        standalone = (rendered / "Makefile").exists()
    gate = _installed_from()
    check = f"make{f' GATE={chr(39)}{gate}{chr(39)}' if gate else ''} check up" if standalone else "python -m pytest"
    sys.stdout.write(
        f"{files} files in {directory}. Next:\n\n    cd {directory}\n    {check}\n"
        "    git init && git add . && git commit\n\n"
        "A later `sage-migrate init --update` needs the commit to tell your changes from the template's.\n"
    )
    return 0


def _update(directory: Path) -> int:
    from sage_migrate.scaffold.render import template_repository, update

    with template_repository() as repository:
        conflicts = update(repository, directory)
    if conflicts:
        sys.stdout.write(
            f"Updated to {__version__}; you and the template changed the same lines of {', '.join(conflicts)}. "
            "Settle them as after a merge, then commit.\n"
        )
        return 1
    sys.stdout.write(f"Updated to {__version__}. Look at `git diff`, run the tests, then commit.\n")
    return 0


def _answers(data: list[str]) -> dict[str, str]:
    import yaml

    from sage_migrate.scaffold.template_history import TEMPLATE

    asked = yaml.safe_load((TEMPLATE / "copier.yml").read_text(encoding="utf-8"))
    questions = [name for name, question in asked.items() if isinstance(question, dict) and "help" in question]
    answers = dict(each.partition("=")[::2] for each in data)
    for each in data:
        name = each.partition("=")[0]
        if "=" not in each or name not in questions:
            raise UsageError(
                f"--data {each} answers no question.",
                remedy=f"Write NAME=VALUE; the names: {', '.join(each for each in questions if each not in _GIVEN)}.",
            )
    return answers


def _installed_from() -> str | None:
    """Return what pip installs this package from, where that is no release but a path of this machine."""
    try:
        origin = metadata.distribution("sage-migrate").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = json.loads(origin)["url"] if origin else ""
    return f"{url.removeprefix('file://')}[all]" if url.startswith("file://") else None
