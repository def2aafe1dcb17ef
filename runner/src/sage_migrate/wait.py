"""Wait until the database takes connections, and give up at once where waiting cannot help."""

import asyncio
import time

import asyncpg
import tenacity

from sage_migrate.database_url import is_tls_refusal
from sage_migrate.durations import format_duration
from sage_migrate.errors import AccessRefusedError, DatabaseUnreachableError, GateError, UsageError
from sage_migrate.logs import log
from sage_migrate.redact import redact
from sage_migrate.session import Connect, Session

# Classes of SQLSTATE that a connection attempt may meet while a server starts, fails over or is full.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_HEALS = {"57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08004", "08006", "53000", "53200"}
_REMEDY_ACCESS = {
    "28P01": "Correct the password in the secret; nothing heals this by waiting.",
    "28000": "Correct the user, or the server's pg_hba.conf for this client and TLS setting.",
    "3D000": "Create the database, or correct its name in the URL.",
    "42501": "GRANT CONNECT on the database to this role.",
}


async def wait_for_database(connect: Connect, application_name: str, *, wait_timeout: float) -> Session:
    """Return a session as soon as the server gives one, within ``wait_timeout`` seconds.

    Raises:
        DatabaseUnreachableError: nothing answered in time.
        AccessRefusedError: the server answered and refused.
        UsageError: the connection's parameters contradict themselves.
    """
    started = time.monotonic()
    last: list[BaseException] = []

    def note(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is not None
        last[:] = [error]
        log.info(
            "database_awaited",
            reason=describe_connection_error(error),
            attempt=state.attempt_number,
            waited_seconds=round(time.monotonic() - started, 3),
        )

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(can_heal),
        # Exponential with full jitter: many pods that start together must not knock together.
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=note,
        reraise=True,
    )
    try:
        async with asyncio.timeout(wait_timeout):
            session: Session = await retrying(connect, application_name)
    except TimeoutError as error:
        cause = last[0] if last else error
        raise unreachable(cause, wait_timeout) from cause
    except GateError:
        raise
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise refusal(error) from error
    log.info("database_ready", waited_seconds=round(time.monotonic() - started, 3))
    return session


def can_heal(error: BaseException) -> bool:
    """Tell whether trying to connect again later can succeed without anybody changing a setting."""
    if is_tls_refusal(error):
        return False
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is not None:
        return sqlstate in _HEALS
    if type(error).__module__.startswith("psycopg"):
        return True  # libpq does not say which: the wait timeout bounds it
    # OSError holds refused and reset connections, unknown hosts (DNS of a Service that is not there yet)
    # and time-outs; a certificate file that does not exist is one too, and stays absent.
    return isinstance(error, (OSError, TimeoutError)) and not isinstance(error, (FileNotFoundError, PermissionError))


def unreachable(error: BaseException, waited_seconds: float | None = None) -> DatabaseUnreachableError:
    """Return the error of the gate for a database that does not answer."""
    reason = describe_connection_error(error)
    within = f" within {format_duration(waited_seconds)}" if waited_seconds is not None else ""
    return DatabaseUnreachableError(
        f"The database could not be reached{within}: {reason}.",
        remedy="Check that the host and port are right, that the server is up, and that the network (a NetworkPolicy, a firewall) "
        "lets this client through; then run it again.",
        facts={"reason": reason},
    )


def refusal(error: BaseException) -> GateError:
    """Return the error of the gate for a connection attempt that waiting cannot heal."""
    reason = describe_connection_error(error)
    sqlstate = getattr(error, "sqlstate", None)
    if (
        isinstance(error, (asyncpg.InterfaceError, ValueError))
        and not isinstance(error, asyncpg.PostgresError)
        and sqlstate is None
    ):
        msg = f"The connection's settings cannot be used: {reason}."
        return UsageError(msg, remedy="Correct the database URL or the PG* variables.")
    remedy = "Correct sslmode, or the certificates on either side." if is_tls_refusal(error) else ""
    return AccessRefusedError(
        f"The server refused the connection: {reason}.",
        remedy=remedy or _REMEDY_ACCESS.get(sqlstate or "", "Correct the connection's settings."),
        facts={"sqlstate": sqlstate, "reason": reason},
    )


def describe_connection_error(error: BaseException) -> str:
    """Return one clause for a person, without a password and without a full stop."""
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    first_line = str(text or type(error).__name__).strip().partition("\n")[0]
    return redact(first_line.strip().rstrip(".?"))
