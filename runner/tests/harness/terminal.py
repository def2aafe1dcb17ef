"""Run the command line on a terminal, and read what a person sees there."""

import os
import threading
from pathlib import Path

from harness.command import PATIENCE_SECONDS, Launcher
from harness.project import Project


def screen_of(launcher: Launcher, project: Project, *arguments: str, url: str, err: Path) -> str:
    """Return all that a run which ends well writes to its terminal."""
    terminal, theirs = os.openpty()
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(iter(lambda: _read(terminal), b"")))
    reader.start()
    run = launcher.start(
        ["sage_migrate.cli", *arguments],
        directory=project.directory,
        environment={"PATH": os.environ["PATH"], "DATABASE_URL": url, "COLUMNS": "140"},
        out=Path(os.ttyname(theirs)),
        err=err,
    )
    assert run.wait(PATIENCE_SECONDS) == 0, err.read_text()
    os.close(theirs)
    reader.join()
    return b"".join(said).decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # what Linux says when the other end is closed
        return b""
