"""The mapped classes of another release: loaded in a process of their own, from a checkout of its commit or an image."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.project import Project
from sage_migrate.session import quote_identifier
from sage_migrate.trace.old_code.from_tables import MappedColumn, MappedTable
from sage_migrate.trace.old_code.image import Release

_PATIENCE_SECONDS = 120


def load_models(release: Release, named: str | None, project: Project) -> list[dict[str, Any]]:
    """Return the tables that the code of a release maps.

    Raises:
        UsageError: it cannot be imported.
    """
    file = project.config.config_file_name or "pyproject.toml"
    file = (
        str(Path(file).absolute().relative_to(Path.cwd())) if Path(file).absolute().is_relative_to(Path.cwd()) else file
    )
    url = project.config.get_main_option("sqlalchemy.url") or ""
    places = {
        "here": str(Path.cwd()),
        "top": str(_top(Path.cwd()) or Path.cwd()),
        "path": [str(each) for each in release.path],
        "packages": [str(each) for each in release.packages],
    }
    done = subprocess.run(  # noqa: S603  the user's own code
        [
            sys.executable,
            "-m",
            "sage_migrate.trace.old_code.mapped",
            named or "",
            file,
            project.config.config_ini_section,
            json.dumps(places),
        ],
        cwd=release.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "SAGE_TRACE_URL": url},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise UsageError(
            f"The old models cannot be loaded from {release.directory}: {last}",
            remedy="Name them by --old-models MODULE:BASE; they are imported in this environment, from the directory of alembic.ini "
            "or the image's working directory.",
        )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def checkout(reference: str, here: Path) -> Iterator[Release]:
    """Yield the release at a Git reference, with the directory that stands for ``here`` in a copy of its tree.

    Raises:
        UsageError: there is no such reference.
    """
    top = _top(here)
    if top is None:
        raise UsageError("--old-ref needs a Git repository, and there is none here.")
    prefix = here.resolve().relative_to(top)
    with tempfile.TemporaryDirectory(prefix="sage-old-") as name:
        archive = Path(name) / "tree.tar"
        done = subprocess.run(  # noqa: S603  the reference is an argument of its own
            ["git", "archive", "--format=tar", f"--output={archive}", f"{reference}:"],  # noqa: S607
            cwd=top, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise UsageError(
                f"Git has no tree at {reference}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'unknown'}.",
                remedy="Name a tag, branch or commit; in CI, fetch it (fetch-depth: 0).",
            )
        tree = Path(name) / "tree"
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
        found = tree / prefix
        if not found.is_dir():
            raise UsageError(
                f"{reference} has no directory {prefix}.", remedy="Run trace where the old release had alembic.ini too."
            )
        yield Release(directory=found)


def _top(here: Path) -> Path | None:
    done = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"],  # noqa: S607
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return None if done.returncode else Path(done.stdout.strip()).resolve()


def tables_of_models(described: Sequence[dict[str, Any]]) -> list[MappedTable]:
    """Return what ``mapped`` printed as tables."""
    followers: dict[str, list[str]] = {}
    for each in described:
        for other in each["references"]:
            if other["ondelete"]:
                followers.setdefault(_spelled(other), []).append(_spelled(each))
    return [
        MappedTable(
            name=_spelled(each),
            quoted=_quoted(each),
            source=each["source"],
            followers=tuple(followers.get(_spelled(each), ())),
            columns=tuple(
                MappedColumn(
                    name=column["name"],
                    type=column["type"],
                    is_key=column["is_key"],
                    left_out=column["left_out"],
                    explicit_null=column["explicit_null"],
                    relies_on_default=column["relies_on_default"],
                    constant=column["constant"],
                    labels=tuple(column["labels"]),
                    source=column["source"],
                )
                for column in each["columns"]
            ),
            unique=tuple(tuple(key) for key in each["unique"]),
            references=tuple(
                (_spelled(other), _quoted(other), tuple((ours, theirs) for ours, theirs in other["pairs"]))
                for other in each["references"]
            ),
        )
        for each in described
    ]


def _spelled(table: dict[str, Any]) -> str:
    return f"{table['schema']}.{table['name']}" if table["schema"] not in (None, "public") else str(table["name"])


def _quoted(table: dict[str, Any]) -> str:
    schema = f"{quote_identifier(table['schema'])}." if table["schema"] else ""
    return f"{schema}{quote_identifier(table['name'])}"
