"""End a revision that does not end by itself, whether it waits in Python or in the server."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import asyncpg

from sage_migrate.timeline.words import spell_budget
from sage_migrate.trace.scratch_database import ScratchDatabase

# In the scratch database, all but the session that holds its lock: that one is the trace's.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND backend_type = 'client backend'
"""


class RevisionTimeoutError(Exception):
    """A revision has not ended within the limit."""


@contextlib.contextmanager
def time_limit(database: ScratchDatabase, seconds: float) -> Iterator[None]:
    """End the sessions of what runs inside, and raise there, when it takes longer; for the main thread.

    Raises:
        RevisionTimeoutError: it took longer.
    """
    running, expired = True, False
    told = f"it did not end within {spell_budget(seconds)}"

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if running:
            raise RevisionTimeoutError(told)

    def end() -> None:
        nonlocal expired
        expired = True
        # A driver in C waits for the server, and hears of signals only afterwards.
        with contextlib.suppress(asyncpg.PostgresError, OSError):
            database.admin.rows(_END_SESSIONS, database.url.database, database.session.process)
        signal.pthread_kill(main, signal.SIGALRM)

    main = threading.get_ident()
    before = signal.signal(signal.SIGALRM, interrupt)
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if expired:  # what was raised is of its sessions' end
            raise RevisionTimeoutError(told) from error
        raise
    finally:
        running = False
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGALRM, before)
