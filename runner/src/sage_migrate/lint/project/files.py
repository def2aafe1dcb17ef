"""Finds the Python files of a project, and none that others put there."""

from collections.abc import Iterable, Iterator
from pathlib import Path

_SKIPPED = frozenset(("__pycache__", "node_modules", "site-packages", "venv"))
# A package may have such a name; what a build leaves has no __init__.py at its top.
_BUILT = frozenset(("build", "dist"))


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the Python files at and below ``paths``; a path that is named is taken as it is."""
    for path in paths:
        if path.is_dir():
            try:
                below = sorted(path.iterdir())
            except OSError:
                continue
            for found in below:
                if found.is_dir():
                    if not _is_skipped(found):
                        yield from find_files([found])
                elif found.suffix == ".py":
                    yield found
        elif path.suffix == ".py":
            yield path


def _is_skipped(directory: Path) -> bool:
    return (
        directory.name in _SKIPPED
        or directory.name.startswith(".")
        or directory.is_symlink()
        or (directory.name in _BUILT and not (directory / "__init__.py").is_file())
        or (directory / "pyvenv.cfg").is_file()
    )
