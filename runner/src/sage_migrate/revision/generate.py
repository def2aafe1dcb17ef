"""Alembic's autogenerate through the project's own env.py, which writes nothing where nothing differs."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import Script
from alembic.util import CommandError

from sage_migrate.errors import UsageError
from sage_migrate.project import Project
from sage_migrate.redact import redact


def generate_revision(project: Project, message: str) -> Path | None:
    """Write the revision, and return its file; None where models and database agree.

    Raises:
        UsageError: no database at head to compare with, or several heads.
    """

    def keep_unless_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
        if all(each.is_empty() for each in directives[0].upgrade_ops_list):
            directives[:] = []

    if project.config.cmd_opts is not None:
        project.config.cmd_opts.quiet = True
    try:
        written = command.revision(
            project.config, message, autogenerate=True, process_revision_directives=keep_unless_empty
        )
    except CommandError as error:
        raise UsageError(
            f"Alembic refused: {error}", remedy="It compares with a database at head: sage-migrate upgrade."
        ) from error
    except Exception as error:  # whatever env.py, a driver or a model raises
        raise UsageError(
            f"The models could not be compared with the database: {type(error).__name__}: {redact(str(error))}.",
            remedy="Name a database at head, as in DATABASE_URL; "
            "`python -m sage_migrate.scratch_server COMMAND` runs a command on a new one.",
        ) from error
    scripts = [each for each in (written if isinstance(written, list) else [written]) if isinstance(each, Script)]
    return Path(scripts[0].path) if scripts else None
