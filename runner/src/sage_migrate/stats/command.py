"""The command `sage-migrate stats`: asks a database for the sizes of its tables, changes nothing, writes JSON."""

import argparse
import json
import sys
from pathlib import Path

from sage_migrate.errors import LockNotObtainedError, UsageError
from sage_migrate.interruption import Interruption, watch_signals
from sage_migrate.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--output", metavar="FILE", help="where to write it (default: stdout)")


def run(arguments: argparse.Namespace) -> int:
    """Read the sizes; 0.

    Raises:
        UsageError: no database is named, or the file cannot be written.
        LockNotObtainedError: a table is locked so that not even its size can be read.
    """
    import asyncpg

    from sage_migrate.gate import Gate
    from sage_migrate.session import connect_by_url
    from sage_migrate.stats.collection import collect

    settings = read_settings(arguments)
    if settings.database_url is None:
        raise UsageError(
            "No database is named.", remedy="Set SAGE_MIGRATE_DATABASE_URL, DATABASE_URL, DATABASE_URL_FILE or PGHOST."
        )
    interruption = Interruption()
    watch_signals(interruption)
    with Gate(settings, interruption) as gate:
        session = gate.connect_session(connect_by_url(settings), "sage-migrate stats")
        try:
            stats = gate.call(collect(session))
        except asyncpg.LockNotAvailableError as error:
            raise LockNotObtainedError(
                "A table is locked in ACCESS EXCLUSIVE mode: its size cannot be read, and nothing was written.",
                remedy="Run it again when the migration, the VACUUM FULL or the like has ended.",
            ) from error
    text = json.dumps(stats, indent=1) + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(arguments.output).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.output} cannot be written: {error.strerror}.") from error
    return 0
