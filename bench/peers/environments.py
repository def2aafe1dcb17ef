"""An environment of its own for each peer: made once, of pinned and hash-checked packages, outside of the repository."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EUGENE = "0.8.3"


def provide(name: str, requirements: Path | None = None) -> Path:
    """Return the directory of the programs of a peer, whose packages `name.txt` beside this file pins."""
    requirements = requirements or HERE / f"{name}.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = _cache() / f"peer-{name}-{key}"
    made = environment / "made"
    if not made.exists():
        shutil.rmtree(environment, ignore_errors=True)
        _run(sys.executable, "-m", "venv", environment)
        pip = (environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        _run(*pip, "install", "--require-hashes", "--requirement", requirements)
        made.touch()
    return environment / "bin"


def provide_eugene() -> Path | None:
    """Return eugene, built from its crate; None without cargo."""
    if shutil.which("cargo") is None:
        return None
    root = _cache() / f"peer-eugene-{EUGENE}"
    if not (root / "bin/eugene").exists():
        _run("cargo", "install", "--quiet", "eugene", "--version", EUGENE, "--locked", "--root", root)
    return root / "bin/eugene"


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SAGE_CACHE") or home / "sage-migrate")


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
