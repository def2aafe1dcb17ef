"""How many tenants of one server are at work at a time, over all pods: so many advisory locks in one of its databases."""

import contextlib
import random
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from sage_migrate.advisory_lock import key_of, release_lock
from sage_migrate.errors import RunnerLockTimeoutError
from sage_migrate.fleet.options import FleetSettings
from sage_migrate.interruption import Interruption
from sage_migrate.session import ControlThread, Session, connect_by_url
from sage_migrate.settings import Settings
from sage_migrate.wait import wait_for_database

_POLL_SECONDS = 0.25


class Slots:
    """The slot that one process holds while it works on a server; with no bound there is nothing to hold."""

    def __init__(self, settings: Settings, fleet: FleetSettings) -> None:
        """Take slots in the database that ``fleet`` names, on whichever server."""
        self._settings, self._fleet = settings, fleet
        self._control = ControlThread()
        self._session: Session | None = None
        self._server = ""

    def __enter__(self) -> Self:
        """Start the thread that drives the session."""
        self._control.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session, and end the thread."""
        self._close()
        self._control.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def hold(self, settings: Settings, interruption: Interruption, seconds: float) -> Iterator[None]:
        """Wait for a slot of the server that ``settings`` names, for so many seconds, and hold it.

        Raises:
            RunnerLockTimeoutError: all were taken for so long.
            GateError: the server cannot be reached, or the interruption's.
        """
        if not self._fleet.slots or settings.database_url is None:
            yield
            return
        deadline = time.monotonic() + seconds
        session = self._connect(settings)
        while (key := self._take(session)) is None:
            interruption.check()
            if time.monotonic() > deadline:
                raise RunnerLockTimeoutError(
                    f"All {self._fleet.slots} slots of the server were taken until the deadline.",
                    remedy="Run this again when the others have ended, or allow more at a time (--slots).",
                )
            time.sleep(_POLL_SECONDS * random.uniform(0.5, 1))  # noqa: S311  jitter
        try:
            yield
        finally:
            try:
                self._control.call(release_lock(session, key))
            except Exception:  # noqa: BLE001  any driver's: with the session the lock is gone
                self._close()

    def _connect(self, settings: Settings) -> Session:
        assert settings.database_url is not None
        if self._session is not None and settings.database_url.hosts == self._server:
            return self._session
        self._close()
        own = settings.with_database(self._fleet.slots_database)
        waiting = wait_for_database(connect_by_url(own), "sage-migrate slot", wait_timeout=settings.wait_timeout)
        self._session, self._server = self._control.call(waiting), settings.database_url.hosts
        return self._session

    def _take(self, session: Session) -> int | None:
        """Return the key of a slot that was free, None where none is."""
        keys = [key_of(f"sage-migrate slot {number}") for number in range(self._fleet.slots)]
        random.shuffle(keys)
        for key in keys:
            (row,) = self._control.call(session.fetch(f"SELECT pg_try_advisory_lock({key}) AS taken"))
            if row["taken"]:
                return key
        return None

    def _close(self) -> None:
        if self._session is not None:
            self._control.call(self._session.close())
        self._session = None
