"""What the processes of a fleet tell each other: tasks one way, answers the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeGuard

from sage_migrate.fleet.tenants import Tenant

Objects = Mapping[tuple[str, str, str], str]
"""What is in a tenant's schemas: definitions by kind, parent (a relation, or nothing) and name."""
ONLINE_REMEDY = "sage-migrate fleet upgrade --online, for the same tenants"


@dataclass(frozen=True, kw_only=True)
class ReadTenants:
    """Read the source of the tenants; the answer is a list of `Tenant`, those of this run's shard."""

    by_size: bool = False


@dataclass(frozen=True, kw_only=True)
class CheckTenants:
    """Look where these tenants are, all at once where they are schemas; the answer is a list of `TenantPosition`."""

    tenants: tuple[Tenant, ...]
    reads: Literal["position", "digest", "objects"] = "position"
    """What is read beside the position: a digest of what is in each one's schemas, or all of it."""


@dataclass(frozen=True, kw_only=True)
class UpgradeTenant:
    """Upgrade one tenant within so many seconds; the answer is a `TenantResult`."""

    tenant: Tenant
    remaining_seconds: float


SchemaTask = CheckTenants | UpgradeTenant
Task = ReadTenants | SchemaTask


def is_of_schemas(task: Task | None) -> TypeGuard[SchemaTask]:
    """Tell whether ``task`` is one of those that a run of env.py for schemas does."""
    tenants = (
        task.tenants if isinstance(task, CheckTenants) else (task.tenant,) if isinstance(task, UpgradeTenant) else ()
    )
    return bool(tenants) and all(tenant.kind == "schema" for tenant in tenants)


@dataclass(frozen=True, kw_only=True)
class TenantPosition:
    """Where a tenant is."""

    tenant: str
    state: str
    """One of ``at-head``, ``online-pending``, ``pending``, ``ahead``, ``unknown``, ``absent``, ``unreadable``."""
    current: tuple[str, ...] = ()
    pending: int = 0
    reason: str = ""
    is_recorded: bool = True
    """Whether the lineage beside the version table is complete, so that a run would have nothing to write."""
    digest: str | None = None
    objects: Objects = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TenantResult:
    """How a tenant's run ended."""

    tenant: str
    state: str
    """One of ``applied``, ``at-head``, ``online-pending``, ``ahead``, ``failed``, ``gone``, ``interrupted``."""
    before: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """The online revisions that are left to a run with more time."""
    tries: int = 0
    """How often its revisions were tried, all together."""
    duration_seconds: float = 0.0
    exit_status: int = 0
    revision: str | None = None
    message: str = ""
    retryable: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    """What its run logged, where it failed."""
