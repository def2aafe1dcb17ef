"""Servers of a test's own, of the version that all tests run on."""

import os
from pathlib import Path

from sage_migrate.scratch_server import ScratchServer


def own_server(**settings: str) -> ScratchServer:
    """Return a server that may be ill-treated, with these settings."""
    chosen = os.environ.get("SAGE_TEST_PG_BIN")
    return ScratchServer(Path(chosen) if chosen else None, settings=settings)
