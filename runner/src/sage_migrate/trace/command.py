"""The command `sage-migrate trace`: reads its options, runs, prints, and tells the exit status."""

import argparse
import os
import sys
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.trace.options import add_options, read_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Trace; 0 nothing found, 1 hazards.

    Raises:
        UsageError: something is missing, or cannot be used.
    """
    try:
        import pglast.parser  # noqa: F401
    except ImportError as error:
        raise UsageError("trace needs PostgreSQL's grammar.", remedy="pip install 'sage-migrate[trace]'.") from error
    from sage_migrate.settings import PREFIX, read_settings
    from sage_migrate.trace.output import FORMATS
    from sage_migrate.trace.versions import trace_each

    options = read_options(arguments)
    # The configuration file alone: the databases and limits that the environment names are not for a trace.
    named = argparse.Namespace(config=arguments.config, name=arguments.name, x=arguments.x)
    variable = f"{PREFIX}CONFIG"
    settings = read_settings(named, {variable: os.environ.get(variable, "")})
    result: Any = trace_each(settings, options)
    answer = f"{FORMATS[options.format](result)}\n"
    if options.output:
        options.output.write_text(answer, encoding="utf-8")
    else:
        sys.stdout.write(answer)
    return int(not result.is_clean)
