"""A virtual environment with one released project in it, and the gate beside it, nothing of the project's replaced."""

import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
_RUNNER = REPOSITORY / "runner"
# What the gate needs beside Alembic and SQLAlchemy; asyncpg stays where the project has one.
_BESIDE = ("structlog", "tenacity", "asyncpg")


@dataclass(frozen=True, kw_only=True)
class Project:
    """One entry of projects.toml."""

    name: str
    requirements: Sequence[str]
    config: str = ""
    ini: str = ""
    directory: str = ""
    driver: str = "psycopg2"
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    target: str = "head"
    launch: str = "main()"
    version_table: str = "alembic_version"
    transactions: str = "each"
    refuses: bool = False
    as_designed: Mapping[str, Any] | None = None

    @property
    def lock(self) -> Path:
        """The pinned and hashed requirements of a project that CI installs."""
        return HERE / "requirements" / f"{self.name}.txt"


def read_projects() -> dict[str, Project]:
    """Return the manifest's projects by name."""
    entries = tomllib.loads((HERE / "projects.toml").read_text())
    return {name: Project(name=name, **{"environment": {}, **entry}) for name, entry in entries.items()}


@dataclass(frozen=True)
class Environment:
    """The virtual environment of one project."""

    python: Path
    site: Path

    def versions(self, *packages: str) -> str:
        """Return the installed versions of ``packages``, comma separated."""
        code = "import sys, importlib.metadata as m; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
        return self._output("-c", code, *packages)

    def _output(self, *arguments: str) -> str:
        return subprocess.run([self.python, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def provide(project: Project) -> Environment:
    """Make the project's environment, or find it in the cache, and install the gate of this tree into it."""
    wanted = project.lock.read_text() if project.lock.exists() else "\n".join(project.requirements)
    key = hashlib.sha256(f"{sys.version}\n{wanted}".encode()).hexdigest()[:12]
    homes = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = os.environ.get("SAGE_CACHE") or f"{homes}/sage-migrate"
    venv = Path(cache) / "compat" / f"{project.name}-{key}"
    python = venv / "bin" / "python"
    if not (venv / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        if project.lock.exists():
            _pip(python, "--require-hashes", "--requirement", str(project.lock))
        else:
            _pip(python, *project.requirements)
            _pip(python, "hatchling", "editables", *_BESIDE)
        _pip(python, "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(_RUNNER))
        (venv / "made").touch()
    (site,) = (venv / "lib").glob("python3*/site-packages")
    return Environment(python, site)


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments], check=True)
