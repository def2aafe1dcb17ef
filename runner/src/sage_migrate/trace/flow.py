"""One trace from the first look at Git to the result, in the order in which it happens."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.errors import UsageError
from sage_migrate.project import load_project, offer_url
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.settings import Settings
from sage_migrate.trace.options import Options
from sage_migrate.trace.pending import find_range
from sage_migrate.trace.results import Trace
from sage_migrate.trace.scratch_database import scratch_database
from sage_migrate.trace.sql_files import run_file
from sage_migrate.trace.tracing import bring_to_base, start, trace_revisions

# An env.py or an application may read any of these; all of them lead to the scratch database.
_HIDDEN = (
    "DATABASE_URL_FILE",
    "SAGE_MIGRATE_DATABASE_URL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGPASSFILE",
    "PGHOSTADDR",
    "PGOPTIONS",
)


def trace(settings: Settings, options: Options) -> Trace:
    """Return what the pending revisions do.

    Raises:
        UsageError: the history, the range or the scratch server cannot be used.
    """
    began = time.monotonic()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    project = load_project(settings)
    range_ = find_range(project, options.range)
    if not range_.pending:
        return Trace(
            base=range_.base, head=range_.head, server="", old_code="", duration_seconds=time.monotonic() - began
        )
    with _server(options) as server, scratch_database(server) as database:
        settings = replace(settings, database_url=database.url)
        lead_to(database.url, options.environment)
        offer_url(settings, project)
        if options.setup is not None:
            run_file(database, options.setup, "--setup")
        environment = bring_to_base(
            project, database, range_, dump=options.schema_dump, allow_network=options.allow_network
        )
        tracing = start(project, database, range_, environment, allow_network=options.allow_network)
        revisions = tuple(trace_revisions(tracing, lambda _revision: ()))
        return Trace(
            base=range_.base,
            head=range_.head,
            server=database.server_version,
            old_code="",
            duration_seconds=time.monotonic() - began,
            revisions=revisions,
        )


def lead_to(url: DatabaseURL, environment: dict[str, str]) -> None:
    """Let every variable that names a database name ``url``'s: the process is the trace's own."""
    host, _, port = url.hosts.rpartition(":") if ":" in url.hosts else (url.hosts, "", "5432")
    parts = {
        "host": host.strip("[]"),
        "port": port,
        "user": url.user or "",
        "password": url.password or "",
        "database": url.database,
    }
    for name in _HIDDEN:
        os.environ.pop(name, None)
    for name, part in (
        ("PGHOST", "host"),
        ("PGPORT", "port"),
        ("PGUSER", "user"),
        ("PGPASSWORD", "password"),
        ("PGDATABASE", "database"),
    ):
        os.environ[name] = parts[part]
    os.environ["DATABASE_URL"] = url.text
    for name, text in environment.items():
        try:
            os.environ[name] = text.format(url=url.text, **parts)
        except (KeyError, IndexError, ValueError) as error:
            raise UsageError(
                f"The variable {name} in [tool.sage-migrate.trace] environment cannot be filled in: {error}.",
                remedy="Known parts: {url}, {host}, {port}, {user}, {password}, {database}.",
            ) from error


@contextlib.contextmanager
def _server(options: Options) -> Iterator[DatabaseURL]:
    if options.scratch_url is not None:
        yield options.scratch_url
        return
    try:
        server = ScratchServer()
    except RuntimeError as error:
        raise UsageError(
            str(error), remedy="pip install 'sage-migrate[trace]', or name a PostgreSQL by --scratch-url."
        ) from error
    with server:
        yield parse_database_url(server.url(user="postgres:scratch"))
