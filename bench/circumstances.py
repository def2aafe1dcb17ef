"""Under which circumstances a run was made: the day, the machine, the versions."""

import os
import platform
import re
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sage_migrate.scratch_server import ScratchServer

from bench.go_tools import MODULE
from bench.load import CONNECTIONS
from bench.migration_run import fetch


def describe_circumstances(server: ScratchServer) -> str:
    """Return a paragraph for the results of `bench.gate`."""
    return (
        f"{describe_machine(server, 'bench.gate')}, goose {_go_version('github.com/pressly/goose/v3')}, "
        f"golang-migrate {_go_version('github.com/golang-migrate/migrate/v4')}; {CONNECTIONS} connections."
    )


def describe_machine(server: ScratchServer, program: str) -> str:
    """Return the beginning of a sentence: the day, the machine, the versions."""
    postgresql = fetch(server.url(), "SHOW server_version")[0][0]
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} by `python -m {program}` on {os.cpu_count()} cores of {name_processor()} "
        f"({platform.system()} {platform.machine()}), server and all else together{_priority()}: PostgreSQL {postgresql} "
        f"(fsync off, its files in {tempfile.gettempdir()}), Python {platform.python_version()}, "
        f"Alembic {version('alembic')}, SQLAlchemy {version('sqlalchemy')}, "
        f"sage-migrate {version('sage-migrate')}"
    )


def name_processor() -> str:
    """Return what the machine calls its processor."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "an unnamed processor"


def _priority() -> str:
    """Say so when everything measured was put ahead of other work (``chrt --rr 1``), as on a machine that is shared."""
    if not hasattr(os, "sched_getscheduler") or os.sched_getscheduler(0) == os.SCHED_OTHER:
        return ""
    return ", ahead of the machine's other work by real-time scheduling"


def _go_version(module: str) -> str:
    found = re.search(rf"{re.escape(module)} v(\S+)", (MODULE / "go.mod").read_text())
    assert found
    return found[1]
