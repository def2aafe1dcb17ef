"""Render backend/ anew from the template of `sage-migrate init`: `make sample`."""

import fnmatch
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from sage_migrate.scaffold.render import ANSWERS, render, template_repository

BACKEND = Path(__file__).resolve().parents[2] / "backend"
# What the sample has of its own: a history, which a new service has not, and what is said of it.
OWN = ("migrations/versions/*", "tests/test_history.py", "docs/cycles/*-*.md")
_CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}


def render_sample() -> Mapping[str, bytes]:
    """Return what `init` renders with the sample's answers, by path."""
    answers = yaml.safe_load((BACKEND / ANSWERS).read_text(encoding="utf-8"))
    given = {name: str(value) for name, value in answers.items() if not name.startswith("_")}
    with template_repository() as repository, tempfile.TemporaryDirectory() as directory:
        render(repository, Path(directory) / "backend", given, ask=False)
        return read_files(Path(directory) / "backend")


def read_files(directory: Path) -> Mapping[str, bytes]:
    """Return the files of a service by path, without those that are the sample's own and those that tools leave."""
    paths = [path for path in directory.rglob("*") if path.is_file() and _CACHES.isdisjoint(path.parts)]
    files = {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}
    return {name: text for name, text in files.items() if not any(fnmatch.fnmatch(name, own) for own in OWN)}


def main() -> None:
    """Write what is rendered, and remove what is not rendered any more."""
    rendered = render_sample()
    for name in read_files(BACKEND).keys() - rendered.keys():
        (BACKEND / name).unlink()
    for name, text in rendered.items():
        (BACKEND / name).parent.mkdir(parents=True, exist_ok=True)
        (BACKEND / name).write_bytes(text)


if __name__ == "__main__":
    main()
