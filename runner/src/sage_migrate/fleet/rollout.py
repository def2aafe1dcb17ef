"""One release for all tenants: who is at head already, the canaries, the waves, when to stop, and the account of it."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sage_migrate.errors import FleetFailedError, GateError, WrongDatabaseError
from sage_migrate.fleet.options import FleetSettings
from sage_migrate.fleet.pool import Pool
from sage_migrate.fleet.results import (
    ONLINE_REMEDY,
    CheckTenants,
    ReadTenants,
    TenantPosition,
    TenantResult,
    UpgradeTenant,
)
from sage_migrate.fleet.tenants import Tenant
from sage_migrate.logs import log
from sage_migrate.report import Report
from sage_migrate.settings import Settings

CHECKED_AT_ONCE = 250
_NAMED = 20


@dataclass(kw_only=True)
class FleetReport(Report):
    """The account of a fleet: how many tenants ended in which state, and the names of the first that failed."""

    states: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    tenants: int = 0

    @property
    def not_begun(self) -> int:
        """How many tenants were left as they were."""
        return self.tenants - self.states.total()

    def effect(self) -> str:
        """Return what this run left behind."""
        told = [f"{count} {state}" for state, count in sorted(self.states.items())]
        told += [f"{self.not_begun} not begun"] * bool(self.not_begun)
        return f"Of {self.tenants} tenants: {', '.join(told) or 'none'}."


class Rollout:
    """One run over the tenants of a shard."""

    def __init__(self, settings: Settings, fleet: FleetSettings, pool: Pool, report: FleetReport, target: str) -> None:
        """Let ``pool`` do the work, and keep the account in ``report``."""
        self._settings, self._fleet, self._pool, self._report, self._target = settings, fleet, pool, report, target
        self._deadline = report.started + settings.deadline
        self._seen: set[str] = set()
        self._gone: dict[str, TenantResult] = {}
        self._why_stopped = ""

    def run(self) -> GateError | None:
        """Upgrade every tenant, those that appear meanwhile included; return why not all of them are where they should be.

        Raises:
            GateError: it ended before any tenant began.
        """
        # By size, what two runs see is not the same when they begin. So that decides who does a tenant first, and the hash
        # of its name who looks at it in the end.
        self._upgrade_round(self._read_tenants(by_size=self._fleet.shard_by == "size"), with_canary=True)
        while not self._is_stopped():
            try:
                new = self._read_tenants()
                if not new:
                    break
                self._upgrade_round(new, with_canary=False)
            except GateError as error:
                self._stop(f"the tenants could not be read again: {error.what}")
        for result in self._gone.values():
            self._report.states["gone"] += 1
            log.warning("tenant_gone", tenant=result.tenant, applied=result.applied)
        return self._end()

    # Who, and in which order

    def _read_tenants(self, *, by_size: bool = False) -> list[Tenant]:
        """Return the tenants that were not there before; whoever is gone and is listed all the same has failed."""
        listed: list[Tenant] = self._pool.call(ReadTenants(by_size=by_size))
        for tenant in listed:
            if tenant.name in self._gone:
                self._tell(replace(self._gone.pop(tenant.name), state="failed"))
        new = [tenant for tenant in listed if tenant.name not in self._seen]
        self._seen.update(tenant.name for tenant in new)
        self._report.tenants += len(new)
        return new

    def _upgrade_round(self, tenants: Sequence[Tenant], *, with_canary: bool) -> None:
        pending = [tenant for tenant in tenants if tenant.kind != "schema"]
        schemas = [tenant for tenant in tenants if tenant.kind == "schema"]
        for start in range(0, len(schemas), CHECKED_AT_ONCE):
            pending += self._pending_of(schemas[start : start + CHECKED_AT_ONCE])
        canaries = self._canaries(pending) if with_canary else []
        self._upgrade(canaries)
        if canaries and self._report.states["failed"]:
            self._stop("a canary failed")
        rest = [tenant for tenant in pending if tenant not in canaries]
        size = self._fleet.wave_size or len(rest) or 1
        for start in range(0, len(rest), size):
            self._upgrade(rest[start : start + size])

    def _pending_of(self, schemas: Sequence[Tenant]) -> Iterator[Tenant]:
        """Yield those that are not at head, and tell of the others."""
        positions: list[TenantPosition] = self._pool.call(CheckTenants(tenants=tuple(schemas)))
        for tenant, position in zip(schemas, positions, strict=True):
            if position.state == "absent":
                self._gone[tenant.name] = _absent(tenant)
            elif position.state == "at-head" and position.is_recorded and self._target in ("head", "heads"):
                self._tell(TenantResult(tenant=tenant.name, state="at-head", before=position.current))
            else:
                yield tenant

    def _canaries(self, pending: Sequence[Tenant]) -> Sequence[Tenant]:
        chosen = self._fleet.canary
        if chosen.isdigit():
            return pending[: int(chosen)]
        return [tenant for tenant in pending if tenant.name in chosen.split(",")]

    def _upgrade(self, wave: Sequence[Tenant]) -> None:
        again: list[Tenant] = []
        for done in self._pool.run(self._tasks(wave)):
            assert isinstance(done.task, UpgradeTenant)
            result = done.answer if isinstance(done.answer, TenantResult) else _died(done.task.tenant, done.answer)
            if result.exit_status == WrongDatabaseError.exit_status and not done.was_first:
                # env.py took its URL from a module that a tenant before has left imported.
                self._pool.renew_for_each_task()
                again.append(done.task.tenant)
            elif result.state == "gone":
                self._gone[result.tenant] = result
            else:
                self._tell(result)
        if again:
            self._upgrade(again)

    def _tasks(self, wave: Sequence[Tenant]) -> Iterator[UpgradeTenant]:
        for tenant in wave:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                self._stop("the deadline was met")
            if self._is_stopped():
                return
            yield UpgradeTenant(tenant=tenant, remaining_seconds=remaining)

    # When to stop, and what to tell

    def _is_stopped(self) -> bool:
        return bool(self._why_stopped or self._pool.interruption)

    def _stop(self, why: str) -> None:
        if not self._is_stopped():
            self._why_stopped = why
            log.warning("fleet_stopped", reason=why)

    def _tell(self, result: TenantResult) -> None:
        """Count one tenant, and log how it ended; of one that failed also what its run logged."""
        self._report.states[result.state] += 1
        self._report.left += [revision for revision in result.left if revision not in self._report.left]
        if result.applied:
            self._report.outcome = "applied"
        elif result.left and self._report.outcome != "applied":
            self._report.outcome = "left to an online run"
        if result.state not in ("failed", "interrupted"):
            log.info(
                "tenant_done",
                tenant=result.tenant,
                state=result.state,
                before=result.before,
                applied=result.applied,
                **({"left": result.left, "remedy": ONLINE_REMEDY} if result.left else {}),
                tries=result.tries,
                duration_seconds=result.duration_seconds,
            )
        else:
            for line in result.events:
                sys.stdout.write(f"{line}\n")
            log.error(
                "tenant_failed",
                tenant=result.tenant,
                state=result.state,
                message=result.message,
                exit_status=result.exit_status,
                revision=result.revision,
                applied=result.applied,
                retryable=result.retryable,
                duration_seconds=result.duration_seconds,
                **result.facts,
            )
            if len(self._report.failed) < _NAMED:
                self._report.failed.append(result.tenant)
        if self._report.states["failed"] >= self._fleet.max_failures:
            self._stop(f"{self._report.states['failed']} tenants have failed")
        if log.progress_line is not None:
            log.progress_line.show(self._report.effect())

    def _end(self) -> GateError | None:
        report = self._report
        if log.progress_line is not None:
            log.progress_line.show("")
        log.info(
            "fleet_summary",
            tenants=report.tenants,
            states=dict(sorted(report.states.items())),
            not_begun=report.not_begun,
            failed=report.failed,
            **({"left": report.left, "remedy": ONLINE_REMEDY} if report.left else {}),
            shard=self._fleet.shard,
            shards=self._fleet.shards,
            duration_seconds=round(time.monotonic() - report.started, 3),
        )
        if self._pool.interruption is not None:
            return self._pool.interruption
        failed = report.states["failed"]
        if not failed and not report.not_begun:
            return None
        which = f" of shard {self._fleet.shard}" if self._fleet.shards > 1 else ""
        named = ", ".join(report.failed) + (" and others" if failed > len(report.failed) else "")
        stopped = f" No other was begun, since {self._why_stopped}." if self._why_stopped else ""
        return FleetFailedError(
            f"{failed} of {report.tenants} tenants{which} failed{f': {named}' if named else ''}.{stopped}",
            remedy="The tenant_failed events say why. Run the same command again when it is put right: what is at head costs "
            "next to nothing.",
            facts={"tenants": report.failed},
        )


def _absent(tenant: Tenant) -> TenantResult:
    return TenantResult(
        tenant=tenant.name,
        state="gone",
        exit_status=FleetFailedError.exit_status,
        message=f"There is no schema {tenant.name}. Take the tenant out of the source, or create its schema.",
    )


def _died(tenant: Tenant, error: GateError) -> TenantResult:
    message = f"{error.what} {error.remedy}"
    return TenantResult(
        tenant=tenant.name, state="failed", exit_status=error.exit_status, message=message, retryable=True
    )
