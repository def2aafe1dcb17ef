"""The one boundary at which an exception of a driver, of SQLAlchemy or of user code becomes an error of the gate.

Decisions rest on SQLSTATE and, where one code means several things, on what this run did itself; never on
the text of a message. https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alembic.util import CommandError

from sage_migrate.durations import format_duration
from sage_migrate.errors import (
    CancelledByOtherError,
    ConnectionLostError,
    GateError,
    HistoryBrokenError,
    LockNotObtainedError,
    MigrationFailedError,
    ReadOnlyTargetError,
    StatementTimeoutError,
)
from sage_migrate.recipes import advise
from sage_migrate.redact import redact, shorten_sql
from sage_migrate.wait import can_heal, refusal, unreachable

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
RETRYABLE = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED})
QUERY_CANCELED = "57014"
_TERMINATED = frozenset({"57P01", "57P02", "57P05"})
_CONNECTING = frozenset({"08", "28", "3D", "53", "57"})
_READ_ONLY = "25006"
_IDLED = "25P03"
_ADVICE = {
    "42501": "Give the migration a role that owns the objects (--role, or a secret of its own: Helm migration.database).",
    "42P07": "The object exists already: somebody made it by hand, or an earlier run committed a part of this revision. Compare the "
    "schema with the revision, then drop the object or `alembic stamp`.",
    "42701": "The column exists already: compare the schema with the revision, then drop it or `alembic stamp`.",
    "53100": "Free disk space on the server, then run it again.",
}


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the run knows of the moment at which something was raised."""

    revision: str | None
    statement: str
    statement_seconds: float
    statement_timeout: float
    connected: bool
    script_directory: Path
    show_literals: bool
    idle_seconds: float = 0.0
    """How long the transaction had been idle when the statement, or COMMIT, was sent."""
    idle_timeout: float = float("inf")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and everything that it wraps, outermost first."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        each = queue.pop(0)
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            queue += [getattr(each, "orig", None), each.__cause__, each.__context__]


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of the server error that ``error`` wraps, whatever the driver."""
    lost = None
    for each in chain(error):
        for attribute in ("sqlstate", "pgcode"):
            value = getattr(each, attribute, None)
            if not isinstance(value, str) or not value:
                continue
            # asyncpg says 08003 of a connection that it lost, and has the server's reason as the cause.
            if not value.startswith("08"):
                return value if lost is None or value in _TERMINATED else lost
            lost = lost or value
    return lost


def explain(error: BaseException, at: Circumstances) -> GateError:
    """Return the gate's error for whatever env.py, a revision or a driver raised."""
    for each in chain(error):
        if isinstance(each, GateError):
            return each
    sqlstate = sqlstate_of(error)
    if not at.connected and (connecting := _connection_error(error)) is not None:
        return unreachable(connecting) if can_heal(connecting) else refusal(connecting)
    if sqlstate is not None:
        return _by_sqlstate(sqlstate, error, at)
    if _is_disconnect(error):
        return _lost(at)
    if at.revision is None and isinstance(error, CommandError):
        msg = f"Alembic refused: {redact(str(error))}"
        return HistoryBrokenError(
            msg if msg.endswith(".") else f"{msg}.", remedy="`alembic history` and `alembic current` show both sides."
        )
    return _python(error, at)


def server_message(error: BaseException) -> str:
    """Return PostgreSQL's primary message alone: DETAIL holds rows, and the logs of a release are no place for them."""
    sqlstate = sqlstate_of(error)
    for each in chain(error):
        if sqlstate not in (getattr(each, "sqlstate", None), getattr(each, "pgcode", None)):
            continue
        text = getattr(getattr(each, "diag", None), "message_primary", None) or getattr(each, "message", None)
        if isinstance(text, str):
            return redact(text)
    return redact(str(getattr(error, "orig", error)).partition("\n")[0])


def _by_sqlstate(  # noqa: PLR0911  a table of codes
    sqlstate: str, error: BaseException, at: Circumstances
) -> GateError:
    message = server_message(error)
    statement = shorten_sql(at.statement, literals=at.show_literals)
    facts = {"sqlstate": sqlstate, "revision": at.revision, "statement": statement, "server_message": message}
    where = f"Revision {at.revision}" if at.revision else "env.py"
    if sqlstate in RETRYABLE:
        what = "deadlocked with another session" if sqlstate == DEADLOCK_DETECTED else "could not obtain a lock in time"
        return LockNotObtainedError(
            f"{where} {what} (SQLSTATE {sqlstate}) in: {statement}.",
            remedy="It could not be tried again by this run, because a part of it is committed or it sets its own lock_timeout. "
            "Run it again when the table is quiet.",
            facts=facts,
        )
    if sqlstate == QUERY_CANCELED:
        # statement_timeout, an administrator and our own guard all cancel with this code. The guard's and a
        # signal's are known before we come here; between the other two the time that it ran decides.
        if at.statement_seconds >= 0.95 * at.statement_timeout:
            return StatementTimeoutError(
                f"{where} ran one statement for longer than statement_timeout ({format_duration(at.statement_timeout)}; "
                f"SQLSTATE {sqlstate}): {statement}.",
                remedy=f"{recipe} Or lengthen --statement-timeout (Helm: migration.statementTimeout)."
                if (recipe := advise(at.statement))
                else "Make the step smaller (a backfill in batches, an index CONCURRENTLY), or lengthen --statement-timeout "
                "(Helm: migration.statementTimeout).",
                facts=facts,
            )
        return CancelledByOtherError(
            f"{where} was cancelled by somebody else after {format_duration(round(at.statement_seconds, 1))} "
            f"(SQLSTATE {sqlstate}) in: {statement}.",
            remedy="Ask who cancelled it (pg_cancel_backend); then run it again.",
            facts=facts,
        )
    if sqlstate in _TERMINATED:
        return CancelledByOtherError(
            f"{where} lost its session: the server or an administrator ended it (SQLSTATE {sqlstate}: {message}).",
            remedy="Find out why the server ended it (a restart, pg_terminate_backend); then run it again.",
            facts=facts,
        )
    if sqlstate == _READ_ONLY:
        msg = f"{where} met a read-only transaction (SQLSTATE {sqlstate}) in: {statement}."
        return ReadOnlyTargetError(
            msg, remedy="Connect to the primary, with a role whose transactions are not read-only.", facts=facts
        )
    if sqlstate.startswith("08") or sqlstate == _IDLED:
        return _lost(at, idled=sqlstate == _IDLED)
    return MigrationFailedError(
        f"{where} failed: {message} (SQLSTATE {sqlstate}) in: {statement}.",
        remedy=_ADVICE.get(sqlstate, "Correct the revision, try it on a copy of the database, and release again."),
        facts=facts,
    )


def _lost(at: Circumstances, *, idled: bool = False) -> GateError:
    if idled or at.idle_seconds >= at.idle_timeout:  # libpq tells that the connection is gone, and not why
        return MigrationFailedError(
            f"{f'Revision {at.revision}' if at.revision else 'env.py'} sent nothing for "
            f"{format_duration(round(at.idle_seconds, 1))} while its transaction was open; after "
            f"{format_duration(at.idle_timeout)} the server ended its session (SQLSTATE {_IDLED}).",
            remedy="Compute before the first statement or in another revision, or lengthen --idle-timeout.",
            facts={"sqlstate": _IDLED, "revision": at.revision},
        )
    return ConnectionLostError(
        f"The connection to the server broke{f' in revision {at.revision}' if at.revision else ''}.",
        remedy="See whether the server restarted or failed over; then run it again: it goes on where the version table stands.",
        facts={"revision": at.revision, "statement": shorten_sql(at.statement, literals=at.show_literals)},
    )


def _connection_error(error: BaseException) -> BaseException | None:
    """Return what the driver said while env.py connected, or None when it was something else."""
    for each in chain(error):
        sqlstate = getattr(each, "sqlstate", None) or getattr(each, "pgcode", None)
        # libpq's own errors of connecting carry no SQLSTATE.
        nameless = (
            type(each).__name__ == "OperationalError" and type(each).__module__.startswith("psycopg") and not sqlstate
        )
        if nameless or isinstance(each, OSError) or (sqlstate or "")[:2] in _CONNECTING:
            return each
    return None


def _is_disconnect(error: BaseException) -> bool:
    return any(
        getattr(each, "connection_invalidated", False) or isinstance(each, ConnectionError) for each in chain(error)
    )


def _python(error: BaseException, at: Circumstances) -> MigrationFailedError:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(at.script_directory)
    ]
    place = f" at {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    where = f"Revision {at.revision}" if at.revision else "env.py"
    text = redact(" ".join(str(error).split()))
    return MigrationFailedError(
        f"{where} raised {type(error).__name__}{place}: {text[:300] or 'no message'}.".replace("..", "."),
        remedy="Correct it and release again; --debug shows the traceback.",
        facts={"revision": at.revision, "exception": type(error).__name__},
    )
