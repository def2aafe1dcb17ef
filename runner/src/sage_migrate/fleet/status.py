"""Where the tenants of a fleet are: how many at which revision, and who is behind, ahead, or not to be read."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sage_migrate.fleet.pool import Pool
from sage_migrate.fleet.results import ONLINE_REMEDY, CheckTenants, ReadTenants, TenantPosition
from sage_migrate.fleet.rollout import CHECKED_AT_ONCE
from sage_migrate.project import Project

_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class FleetStatus:
    """The answer; ``others`` are all tenants that are not at head."""

    head: tuple[str, ...]
    tenants: int
    states: dict[str, int]
    revisions: dict[str, int]
    others: tuple[TenantPosition, ...]

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
        lines += [f"remedy     {remedy}" for remedy in self.remedies]
        return "\n".join(lines)

    @property
    def remedies(self) -> list[str]:
        """What to do of which the states do not speak for themselves."""
        return [f"online-pending: {ONLINE_REMEDY}"] * ("online-pending" in self.states)


def read_fleet_status(pool: Pool, project: Project) -> FleetStatus:
    """Ask where every tenant is.

    Raises:
        GateError: the tenants cannot be read, or their server cannot be reached.
    """
    tenants = pool.call(ReadTenants())
    groups = [tuple(each for each in tenants if (each.kind == "schema") == is_schema) for is_schema in (True, False)]
    tasks = (
        CheckTenants(tenants=group[start : start + size])
        for group, size in zip(groups, (CHECKED_AT_ONCE, 1), strict=True)
        for start in range(0, len(group), size)
    )
    states, revisions, others = Counter[str](), Counter[str](), list[TenantPosition]()
    for done in pool.run(tasks):
        if isinstance(done.answer, Exception):
            raise done.answer
        for position in done.answer:
            states[position.state] += 1
            revisions[", ".join(position.current) or "(none)"] += 1
            others += [position] * (position.state != "at-head")
    if pool.interruption is not None:
        raise pool.interruption
    return FleetStatus(
        head=tuple(sorted(project.heads)),
        tenants=len(tenants),
        states=dict(sorted(states.items())),
        revisions=dict(revisions.most_common()),
        others=tuple(sorted(others, key=lambda each: (each.state, each.tenant))),
    )
