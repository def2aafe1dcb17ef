"""Where the tenants of a fleet are: how many at which revision, who is behind, ahead, or not to be read, and whose schema differs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sage_migrate.fleet.drift import Drift, compare, find_odd
from sage_migrate.fleet.pool import Pool
from sage_migrate.fleet.results import ONLINE_REMEDY, CheckTenants, ReadTenants, TenantPosition
from sage_migrate.fleet.rollout import CHECKED_AT_ONCE
from sage_migrate.fleet.tenants import Tenant
from sage_migrate.project import Project

_SHOWN = 50
_DESCRIBED = 20


@dataclass(frozen=True, kw_only=True)
class FleetStatus:
    """The answer; ``others`` are all tenants that are not at head."""

    head: tuple[str, ...]
    tenants: int
    states: dict[str, int]
    revisions: dict[str, int]
    others: tuple[TenantPosition, ...]
    drift: tuple[Drift, ...]
    """The tenants whose schema is not that of most at their revision."""
    not_compared: int
    """How many have a revision, and schemas that could not be read."""

    @property
    def exit_status(self) -> int:
        """0 where all are at head or known ahead, 3 where some are pending, 21 at unknown revisions, 50 where not all could be read."""
        states = set(self.states) - {"at-head", "ahead"}
        return 50 if states & {"absent", "unreadable"} else 21 if "unknown" in states else 3 if states else 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        stragglers = [
            {
                "tenant": each.tenant,
                "state": each.state,
                "current": each.current,
                "pending": each.pending,
                "reason": each.reason,
            }
            for each in self.others
        ]
        return {
            "head": self.head,
            "tenants": self.tenants,
            "states": self.states,
            "revisions": self.revisions,
            "stragglers": stragglers,
            "drift": [asdict(each) for each in self.drift],
            "not_compared": self.not_compared,
        }

    def as_text(self) -> str:
        """Return it for a person."""
        lines = [f"head       {', '.join(self.head) or '(none)'}", f"tenants    {self.tenants}"]
        width = max(map(len, ("straggler ", *self.states)))
        lines += [f"{state:<{width}} {count}" for state, count in self.states.items()]
        lines += [f"revision   {revision}  {count}" for revision, count in self.revisions.items()]
        for each in self.others[:_SHOWN]:
            where = ", ".join(each.current) or "(none)"
            pending = f"  {each.pending} pending" if each.pending else ""
            lines.append(
                f"straggler  {each.tenant}  {each.state}  {where}{pending}{f'  {each.reason}' if each.reason else ''}"
            )
        left = len(self.others) - _SHOWN
        lines += [f"           and {left} more: --format json lists all"] * (left > 0)
        lines += [
            f"drift      {each.tenant}  {', '.join(each.current)}{f'  {difference}' if difference else ''}"
            for each in self.drift[:_SHOWN]
            for difference in each.differences or ("",)
        ]
        left = len(self.drift) - _SHOWN
        lines += [f"           and {left} more: --format json lists all"] * (left > 0)
        lines += [f"no drift told of {self.not_compared} tenants: their schemas could not be read"] * (
            self.not_compared > 0
        )
        lines += [f"remedy     online-pending: {ONLINE_REMEDY}"] * ("online-pending" in self.states)
        return "\n".join(lines)


def read_fleet_status(pool: Pool, project: Project) -> FleetStatus:
    """Ask where every tenant is, and what is in its schemas.

    Raises:
        GateError: the tenants cannot be read, or their server cannot be reached.
    """
    tenants: list[Tenant] = pool.call(ReadTenants())
    groups = [tuple(each for each in tenants if (each.kind == "schema") == is_schema) for is_schema in (True, False)]
    tasks = (
        CheckTenants(tenants=group[start : start + size], reads="digest")
        for group, size in zip(groups, (CHECKED_AT_ONCE, 1), strict=True)
        for start in range(0, len(group), size)
    )
    positions = sorted(_check(pool, tasks), key=lambda each: (each.state, each.tenant))
    return FleetStatus(
        head=tuple(sorted(project.heads)),
        tenants=len(tenants),
        states=dict(sorted(Counter(each.state for each in positions).items())),
        revisions=dict(Counter(", ".join(each.current) or "(none)" for each in positions).most_common()),
        others=tuple(each for each in positions if each.state != "at-head"),
        drift=tuple(_describe(pool, find_odd(positions), {tenant.name: tenant for tenant in tenants})),
        not_compared=sum(bool(each.current) and each.digest is None for each in positions),
    )


def _check(pool: Pool, tasks: Iterable[CheckTenants]) -> Iterator[TenantPosition]:
    for done in pool.run(tasks):
        if isinstance(done.answer, Exception):
            raise done.answer
        yield from done.answer
    if pool.interruption is not None:
        raise pool.interruption


def _describe(
    pool: Pool, odd: Sequence[tuple[TenantPosition, TenantPosition]], tenants: Mapping[str, Tenant]
) -> Iterator[Drift]:
    """Yield each of the odd ones; of the first of them what differs."""
    described = {each.tenant for pair in odd[:_DESCRIBED] for each in pair}
    tasks = (CheckTenants(tenants=(tenants[name],), reads="objects") for name in sorted(described))
    found = {each.tenant: each.objects for each in _check(pool, tasks)}
    for own, usual in odd:
        both = own.tenant in found and usual.tenant in found
        differences = compare(found[own.tenant], found[usual.tenant]) if both else ()
        yield Drift(tenant=own.tenant, current=own.current, differences=differences)
