"""A tenant at work in a process of the fleet: its limits, its reasons to stop, what it logs, how it ended."""

import os
import threading
import time
from collections import deque
from typing import Any

from sage_migrate.errors import GateError, KeyboardInterruptedError, TerminatedError
from sage_migrate.fleet.results import TenantResult
from sage_migrate.interruption import ABANDON_SECONDS, Interruption
from sage_migrate.logs import log
from sage_migrate.report import Report
from sage_migrate.settings import Settings

# The last lines tell why it failed.
_LINES = 500


class Attempt:
    """One tenant's run. Its events are kept, and told where it fails: those of a thousand that did not would hide them."""

    def __init__(self, tenant: str, settings: Settings, process: Interruption) -> None:
        """Begin; the signal that ends the process ends the run."""
        self.tenant = tenant
        self.settings = settings
        self.report = Report(command="fleet upgrade")
        self.interruption = Interruption()
        self._events: deque[dict[str, Any]] = deque(maxlen=_LINES)
        self._started = time.monotonic()
        log.keep(self._events)
        log.fields = {"tenant": tenant}
        self._timer: threading.Timer | None = None
        self.interruption.subscribe(self._abandon_later)
        self._process = process
        self._subscription = [process.subscribe(self._pass_on)]

    def end(self) -> None:
        """Heed no signal any more."""
        while self._subscription:
            self._subscription.pop()()
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self) -> None:
        assert self._process.error is not None
        self.interruption.request(self._process.error)

    def _abandon_later(self) -> None:
        """End the process when env.py does not come back from an interrupted run; the server then rolls back."""
        assert self.interruption.error is not None
        self._timer = threading.Timer(ABANDON_SECONDS, os._exit, [self.interruption.error.exit_status])
        self._timer.daemon = True
        self._timer.start()

    def result(self, *, ahead: bool = False) -> TenantResult:
        """Return how it ended where it did not fail."""
        report = self.report
        state = "online-pending" if report.left else "applied" if report.applied else "ahead" if ahead else "at-head"
        return TenantResult(**self._account(), state=state)

    def failure(self, error: GateError, *, is_gone: bool = False) -> TenantResult:
        """Return how it failed."""
        is_signal = isinstance(error, TerminatedError | KeyboardInterruptedError)
        return TenantResult(
            **self._account(),
            state="gone" if is_gone else "interrupted" if is_signal else "failed",
            exit_status=error.exit_status,
            revision=str(error.facts.get("revision") or self.report.revision or "") or None,
            message=" ".join(part for part in (error.what, self.report.effect(), error.remedy) if part),
            retryable=error.retryable,
            facts={"reason": error.summary, "sqlstate": error.facts.get("sqlstate")},
            events=tuple(map(log.render, self._events)),
        )

    def _account(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "before": self.report.before,
            "applied": tuple(each.revision for each in self.report.applied),
            "left": tuple(self.report.left),
            "tries": sum(each.tries for each in self.report.applied),
            "duration_seconds": round(time.monotonic() - self._started, 3),
        }
