"""Run the user's SQL in the scratch database: what prepares it, and a dump that stands for the base."""

import re
from pathlib import Path

import asyncpg

from sage_migrate.errors import UsageError
from sage_migrate.trace.scratch_database import ScratchDatabase

_ROWS = re.compile(r"^COPY\b.*\bFROM stdin;", re.MULTILINE | re.IGNORECASE)
# psql's own commands: a dump has \restrict and \connect.
_META_COMMAND = re.compile(r"^\\.*$", re.MULTILINE)


def run_file(database: ScratchDatabase, path: Path, option: str) -> None:
    """Run a file of SQL in a session of its own, which a dump's settings do not outlive.

    Raises:
        UsageError: it does not run.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if _ROWS.search(text):
        raise UsageError(
            f"{path} holds rows (COPY … FROM stdin), which trace does not read.",
            remedy="Dump the schema alone: pg_dump --schema-only --no-owner --no-privileges.",
        )
    session = database.connect()
    try:
        session.run(_META_COMMAND.sub("", text))
    except asyncpg.PostgresError as error:
        position = error.position
        line = f", line {text.count(chr(10), 0, int(position)) + 1}" if position else ""
        raise UsageError(
            f"{option} {path}{line} does not run on the scratch database: {error}.",
            remedy="Roles and extensions that it needs: --setup FILE with CREATE ROLE, --scratch-url of a PostgreSQL that has the "
            "extension; or dump with --no-owner --no-privileges.",
        ) from error
    finally:
        session.close()
