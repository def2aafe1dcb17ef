"""Where a project's revisions and reviews are, read from its configuration without Alembic: a check must start fast."""

import configparser
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.review.imports import MigrationsTree

_SEPARATORS = {"os": re.escape(os.pathsep), "space": r"\s+", "newline": r"\n", ":": ":", ";": ";"}


@dataclass(frozen=True, kw_only=True)
class Locations:
    """Absolute directories of one Alembic project."""

    directory: Path
    """That of the configuration file: paths in the settings of `review` are relative to it."""
    scripts: Path
    """``script_location``."""
    versions: tuple[Path, ...]

    @cached_property
    def migrations(self) -> MigrationsTree:
        """All of them."""
        return MigrationsTree(
            (self.scripts, *(each for each in self.versions if not each.is_relative_to(self.scripts)))
        )


def find_locations(config: Path, section: str) -> Locations:
    """Return the directories that the configuration file names.

    Raises:
        UsageError: there is no such file, or it names no directory of revisions.
    """
    directory = config.parent.resolve()
    options = _options(config, section, directory)
    if not options.get("script_location"):
        raise UsageError(
            f"{config} names no script_location in [{section}].",
            remedy="Name the right file with -c, the section with -n.",
        )
    scripts = _directory(options["script_location"], directory)
    separator = options.get("path_separator") or options.get("version_path_separator") or ""
    listed = re.split(_SEPARATORS.get(separator, r"[\s,]+"), options.get("version_locations", ""))
    versions = tuple(_directory(each.strip(), directory) for each in listed if each.strip()) or (scripts / "versions",)
    missing = [each for each in versions if not each.is_dir()]
    if missing:
        raise UsageError(
            f"There is no {missing[0]}, where {config} says that revisions are.",
            remedy="Correct script_location or version_locations, or run where they are relative to.",
        )
    return Locations(directory=directory, scripts=scripts, versions=versions)


def _options(config: Path, section: str, directory: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    pyproject = read_toml(directory / "pyproject.toml").get("tool", {}).get("alembic", {})
    for name, value in pyproject.items():
        text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        found[name] = text
        if isinstance(value, list):
            found["path_separator"] = "newline"
    if config.suffix != ".toml":
        # Other options may hold what only env.py can interpolate, so nothing is but the one that Alembic offers.
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(config.read_text(encoding="utf-8"))
            found |= dict(parser[section])
        except (OSError, ValueError, KeyError, configparser.Error) as error:
            raise UsageError(f"{config} cannot be read: {type(error).__name__}: {error}.") from error
    return {name: text.replace("%(here)s", str(directory)).replace("%%", "%") for name, text in found.items()}


def _directory(text: str, directory: Path) -> Path:
    """Return the directory of a path, or of ``package:path``; a path relative to nothing is so to the working directory."""
    package, colon, path = text.partition(":")
    if colon and not Path(text).is_absolute() and not Path(text).exists():
        return directory.joinpath(*package.split("."), path).resolve()
    return Path(text).resolve() if Path(text).exists() else (directory / text).resolve()


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds; nothing where there is none.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
