"""One trace from the first look at Git to the result, in the order in which it happens."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.errors import UsageError
from sage_migrate.project import Project, load_project, offer_url
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.settings import Settings
from sage_migrate.stats.sizes import Sizes, read_sizes
from sage_migrate.trace.base_cache import TEMPLATE, cache_for, imported_files
from sage_migrate.trace.checks import check_autogenerate, check_heads, check_round_trip
from sage_migrate.trace.description import changed_relations
from sage_migrate.trace.environment import Environment
from sage_migrate.trace.estimate import estimate
from sage_migrate.trace.old_code.learning import learn_new_code, learn_old_code
from sage_migrate.trace.options import Options
from sage_migrate.trace.pending import Range, find_range
from sage_migrate.trace.results import Breakage, Check, RevisionTrace, Trace
from sage_migrate.trace.rows import fill
from sage_migrate.trace.scratch_database import ScratchDatabase, scratch_database
from sage_migrate.trace.sql_files import run_file
from sage_migrate.trace.tracing import Tracing, bring_to_base, start, trace_revisions
from sage_migrate.trace.values import Values

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


def trace(settings: Settings, options: Options, server: DatabaseURL | Path | None) -> Trace:
    """Return what the pending revisions do on one server, see `Options.servers`.

    Raises:
        UsageError: the history, the range, the old code or the scratch server cannot be used.
    """
    began = time.monotonic()
    logging.disable(logging.INFO)  # what Alembic says of its steps
    sizes = read_sizes(options.stats) if options.stats else None
    project = load_project(settings)
    range_ = find_range(project, options.range)
    if not range_.pending:
        return Trace(
            base=range_.base, head=range_.head, server="", old_code="", duration_seconds=time.monotonic() - began
        )
    with _base(project, range_, options=options, settings=settings, named=server, sizes=sizes) as base:
        database, environment, values, notes = base
        old = learn_old_code(database.session, values, options, project, environment.version_table)
        tracing = start(
            project,
            database,
            range_,
            environment,
            allow_network=options.allow_network,
            seconds=options.revision_timeout,
        )
        revisions = list(trace_revisions(tracing, lambda changed: old.broken(database.session, changed)))
        checks, rollback = _check(tracing, options)
        if sizes is not None:
            revisions = [_estimated(each, sizes) for each in revisions]
        return Trace(
            base=range_.base,
            head=range_.head,
            server=database.server_version,
            old_code=old.source,
            duration_seconds=time.monotonic() - began,
            revisions=tuple(
                replace(each, new_code_breaks=tuple(rollback.get(each.revision, ()))) for each in revisions
            ),
            checks=tuple(checks),
            notes=(*notes, *old.notes),
        )


@contextlib.contextmanager
def _base(  # noqa: PLR0913  all that it is made of
    project: Project,
    range_: Range,
    *,
    options: Options,
    settings: Settings,
    named: DatabaseURL | Path | None,
    sizes: Sizes | None,
) -> Iterator[tuple[ScratchDatabase, Environment, Values, list[str]]]:
    """Yield a database at the base of the range, with rows in its tables: from the cache, or made now."""
    cache = cache_for(project, range_, options, named)
    kept = cache.find() if cache else None
    with _server(named, kept) as (url, server):
        with scratch_database(url, template=TEMPLATE if kept else None) as database:
            lead_to(database.url, options.environment)
            offer_url(replace(settings, database_url=database.url), project)
            environment = Environment(project, database)
            if kept:
                environment.look(lambda _context: None)
            else:
                if options.setup is not None:
                    run_file(database, options.setup, "--setup")
                bring_to_base(environment, range_, dump=options.schema_dump, allow_network=options.allow_network)
            values = Values(database.session)
            notes = fill(database.session, values, options.rows, sizes)
            imported = imported_files()
            if cache and not kept:
                database.copy_as(TEMPLATE)
            yield database, environment, values, notes
        if cache and server is not None and not kept:
            cache.keep(server, imported)


def _estimated(revision: RevisionTrace, sizes: Sizes) -> RevisionTrace:
    statements = (replace(each, estimate=estimate(each, sizes)) for each in revision.statements)
    return replace(revision, statements=tuple(statements))


def _check(tracing: Tracing, options: Options) -> tuple[list[Check], dict[str, list[Breakage]]]:
    """Return the checks, and for each revision what new code would meet without it."""
    checks: list[Check] = []
    rollback: dict[str, list[Breakage]] = {}
    whole = set(tracing.range.head) == set(tracing.project.heads)
    if "single-head" in options.checks:
        checks.append(check_heads(tracing.project))
    if "autogenerate" in options.checks and whole:
        checks.append(check_autogenerate(tracing))
    if "round-trip" in options.checks:
        new = learn_new_code(tracing) if whole else None

        def gone_back(revision: str) -> None:
            if new is not None:
                changed = changed_relations(tracing.after[revision], tracing.before[revision])
                rollback[revision] = new.broken(tracing.database.session, changed)

        checks += check_round_trip(tracing, tracing.range.pending, tracing.before, tracing.after, gone_back)
    return checks, rollback


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
def _server(named: DatabaseURL | Path | None, data: Path | None) -> Iterator[tuple[DatabaseURL, ScratchServer | None]]:
    if isinstance(named, DatabaseURL):
        yield named, None
        return
    try:
        server = ScratchServer(named, data=data)
    except RuntimeError as error:
        raise UsageError(
            str(error), remedy="pip install 'sage-migrate[trace]', or name a PostgreSQL by --scratch-url."
        ) from error
    with server:
        yield parse_database_url(server.url(user="postgres:scratch")), server
