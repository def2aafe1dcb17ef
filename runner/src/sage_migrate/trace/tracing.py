"""The trace itself: bring a scratch database to the base, then run and watch one pending revision after the other."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from alembic.runtime.migration import RevisionStep
from sqlalchemy import event
from sqlalchemy.pool import Pool

from sage_migrate.errors import UsageError
from sage_migrate.failures import server_message, sqlstate_of
from sage_migrate.lint.schema import Schema
from sage_migrate.project import Project
from sage_migrate.session import quote_identifier
from sage_migrate.trace.catalog import Relations, read_relations, read_schema
from sage_migrate.trace.description import Description, changed_relations, describe_schema, read_counters, set_back
from sage_migrate.trace.environment import Environment
from sage_migrate.trace.hazards import judge
from sage_migrate.trace.network import NetworkRefusedError, watch_network
from sage_migrate.trace.pending import Range, steps_for
from sage_migrate.trace.results import Breakage, RevisionTrace
from sage_migrate.trace.scratch_database import NotScratchError, ScratchDatabase
from sage_migrate.trace.sql_files import run_file
from sage_migrate.trace.time_limit import RevisionTimeoutError, time_limit
from sage_migrate.trace.watch import MARK, Watch

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_MISSING = {
    "0A000": "extension",  # CREATE EXTENSION of one that is not installed
    "58P01": "extension",
    "42704": "role, type or extension",
    "42501": "privilege",
}


@dataclass(kw_only=True)
class Tracing:
    """A project on a scratch database, from its base on."""

    project: Project
    database: ScratchDatabase
    range: Range
    environment: Environment
    schema: Schema
    relations: Relations
    live: set[int]
    new_tables: set[str]
    allow_network: bool = False
    seconds: float
    """How long a revision may take."""
    before: dict[str, Description] = field(default_factory=dict)
    """The schema before each revision that ran."""
    after: dict[str, Description] = field(default_factory=dict)


def bring_to_base(
    environment: Environment, range_: Range, *, dump: Path | None = None, allow_network: bool = False
) -> None:
    """Run the history up to the base of the range, or restore the dump that stands for it.

    Raises:
        UsageError: the history does not run here.
        NotScratchError: env.py connects elsewhere.
    """
    project, database = environment.project, environment.database
    steps = steps_for(project, range_.head)
    at = ""
    if dump is not None:
        run_file(database, dump, "--schema-dump")

    def each(heads: tuple[str, ...]) -> Iterator[RevisionStep]:
        nonlocal at
        if dump is not None and heads:
            if set(heads) != set(range_.base):
                raise UsageError(
                    f"{dump} is of a database at {', '.join(heads)}, and the range begins at {', '.join(range_.base) or 'base'}.",
                    remedy=f"Trace {','.join(heads)}:, or dump the schema alone.",
                )
            return
        for at in range_.before:
            if dump is not None:
                steps[at].migration_fn = lambda **_: None  # the dump has it
            yield steps[at]

    try:
        with watch_network(database.url, allowed=allow_network):
            environment.apply(each)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        where = f"Revision {at}, which comes before the range," if at else "env.py"
        raise UsageError(
            f"{where} does not run on the scratch database: {told(error)}.", remedy=remedy_for(error)
        ) from error


def trace_revisions(
    tracing: Tracing,
    check_old_code: Callable[[set[str] | None], Sequence[Breakage]],
) -> Iterator[RevisionTrace]:
    """Yield the pending revisions, each traced; one that fails is stepped over.

    ``check_old_code`` is told which relations changed, None where any may have.
    """
    steps = steps_for(tracing.project, tracing.range.head)
    for revision in tracing.range.pending:
        found = _trace(tracing, steps[revision], check_old_code)
        if found.problem:
            stuck = _step_over(tracing, revision)
            if stuck:
                yield replace(
                    found, notes=(*found.notes, f"It cannot be stepped over ({stuck}): what follows was not traced.")
                )
                return
        yield found


def _trace(
    tracing: Tracing, step: RevisionStep, check_old_code: Callable[[set[str] | None], Sequence[Breakage]]
) -> RevisionTrace:
    script = step.revision
    assert script is not None
    session, version_table = tracing.database.session, tracing.environment.version_table
    before, counters = describe_schema(session, version_table), read_counters(session)
    watch = Watch(tracing.relations, tracing.live, script.path, int(session.value(MARK)))
    started = time.monotonic()
    problem, notes = _backfill(tracing, script.revision) or _run(tracing, step, watch)
    seconds = time.monotonic() - started
    breakages: tuple[Breakage, ...] = ()
    if not problem:
        after = describe_schema(session, version_table)
        tracing.before[script.revision], tracing.after[script.revision] = before, after
        changed = changed_relations(before, after)
        if any(work.lost or work.emptied for work in watch.seen):
            changed = None  # what old code looks for may be gone
        elif changed is not None:
            changed |= set_back(counters, read_counters(session))
        if changed is None or changed:
            breakages = tuple(check_old_code(changed))
    declared = tracing.project.declaration(script.revision).phase
    hazards = judge(watch, tracing.schema, tracing.new_tables, contract=declared == "contract", breakages=breakages)
    return RevisionTrace(
        revision=script.revision,
        path=_shown(Path(script.path)),
        description=script.doc or "",
        declared=declared,
        duration_seconds=seconds,
        statements=watch.statements(),
        hazards=tuple(hazards),
        problem=problem,
        notes=tuple(notes),
        old_code_breaks=breakages,
    )


def _backfill(tracing: Tracing, revision: str) -> tuple[str, list[str]] | None:
    """Set the rows that the gate would set in batches before the revision; return what keeps that from being done."""
    declared = tracing.project.declaration(revision).backfill
    if declared is None:
        return None
    try:
        # The user's own SQL, in the scratch database.
        tracing.database.session.run(f"UPDATE {declared.table} SET {declared.set} WHERE {declared.where}")  # noqa: S608
    except asyncpg.PostgresError as error:
        return f"Its declared backfill fails: {told(error)}.", []
    return None


def _run(tracing: Tracing, step: RevisionStep, watch: Watch) -> tuple[str, list[str]]:
    """Run a step under the watch; return why it did not run to its end, and what else is worth a note."""
    connections: list[Connection] = []
    own_connections: list[object] = []
    upgrade = step.migration_fn
    problem = ""

    def watched(**arguments: object) -> None:
        watch.begin(connections[-1])
        with _connections_made() as made:
            try:
                upgrade(**arguments)
            finally:
                own_connections.extend(made)
        watch.end()

    step.migration_fn = watched
    with watch_network(tracing.database.url, allowed=tracing.allow_network) as calls:
        try:
            with time_limit(tracing.database, tracing.seconds):
                tracing.environment.apply(lambda _heads: [step], connections.append)
        except NotScratchError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  a revision can raise anything
            watch.failed(told(error), sqlstate_of(error) or "")
            problem = f"{told(error)}. {remedy_for(error)}"
        else:
            watch.committed()
    if not problem and not _is_applied(tracing, step):
        problem = "env.py ended without an error and without a commit: the revision is not in the version table."
    notes = []
    if calls:
        notes.append(
            f"It calls the network ({', '.join(sorted(calls))}), which trace refuses: a migration must not depend on it."
        )
    if own_connections:
        notes.append(
            "It opens a connection of its own: what it says there is outside of its transaction, and was not traced."
        )
    if watch.commits:
        notes.append("It commits by itself: what stands before that stays when what comes after it fails.")
    if problem and (watch.commits or any(not each.in_transaction for each in watch.seen)):
        notes.append("A part of it may have been committed; what follows was traced on top of that.")
    return problem, notes


@contextlib.contextmanager
def _connections_made() -> Iterator[list[object]]:
    """Yield the connections that an engine of SQLAlchemy makes meanwhile."""
    made: list[object] = []

    def hear(dbapi_connection: object, _record: object) -> None:
        made.append(dbapi_connection)

    event.listen(Pool, "connect", hear)
    try:
        yield made
    finally:
        event.remove(Pool, "connect", hear)


def _is_applied(tracing: Tracing, step: RevisionStep) -> bool:
    quoted = ".".join(quote_identifier(part) for part in tracing.environment.version_table.split("."))
    assert step.revision is not None
    try:
        rows = tracing.database.session.rows(f"SELECT version_num FROM {quoted}")  # noqa: S608  quoted
    except asyncpg.PostgresError:  # the revision has dropped it
        return False
    return step.revision.revision in {row["version_num"] for row in rows}


def start(  # noqa: PLR0913  what a trace rests on
    project: Project,
    database: ScratchDatabase,
    range_: Range,
    environment: Environment,
    *,
    allow_network: bool = False,
    seconds: float,
) -> Tracing:
    """Read what is there at the base."""
    relations = read_relations(database.session, environment.version_table)
    return Tracing(
        project=project,
        database=database,
        range=range_,
        environment=environment,
        schema=read_schema(database.session),
        relations=relations,
        live=set(relations.by_oid),
        new_tables=set(),
        allow_network=allow_network,
        seconds=seconds,
    )


def told(error: BaseException) -> str:
    """Return what an error says, in one line, PostgreSQL's own words where they are."""
    if isinstance(error, SystemExit):
        return f"it ends the process (exit {error.code})"
    text = str(error) if isinstance(error, RevisionTimeoutError) else server_message(error) or str(error)
    return " ".join(f"{text or type(error).__name__}".split()).rstrip(".")


def remedy_for(error: BaseException) -> str:
    """Return what to do about a revision that does not run here."""
    if isinstance(error, NetworkRefusedError):
        return "Let it not depend on the network; or allow it: --allow-network."
    if isinstance(error, RevisionTimeoutError):
        return "Let it not wait for what never comes; where it only has much to do, allow it more: --revision-timeout."
    missing = _MISSING.get(sqlstate_of(error) or "")
    if missing:
        return (
            f"The scratch server seems to lack a {missing}. Name a PostgreSQL that has it by --scratch-url "
            "(for an extension, run its image: docker run -e POSTGRES_PASSWORD=scratch -p 5432:5432 postgis/postgis), "
            "or prepare the scratch database by --setup FILE (CREATE ROLE …)."
        )
    return "See the error; the same revision fails for everybody who starts from this base."


def _step_over(tracing: Tracing, revision: str) -> str:
    """Stamp a revision that did not run, so that those after it are traced all the same; return why that fails."""
    step = steps_for(tracing.project, tracing.range.head)[revision]
    step.migration_fn = lambda **_: None
    try:
        tracing.environment.apply(lambda _heads: [step])
    except NotScratchError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  any driver's
        return told(error)
    return ""


def _shown(path: Path) -> str:
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)
