"""What a release's run leaves of the online revisions: work that does not fit its deadline, and that its code does without.

Nothing is stamped before it is done: a revision that is left stays pending in the version table, and so does what
follows it. So only a tail of the history can be left, and a run with more time finds it there like any other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_migrate.advisory_lock import LOCK_KEY, lock_holder
from sage_migrate.concurrent_ddl import Fetch, scanned_table
from sage_migrate.errors import ContractRefusedError, DeadlineExceededError, GateError
from sage_migrate.logs import log
from sage_migrate.session import ONLINE, Connect, Session, quote_literal

if TYPE_CHECKING:
    from sage_migrate.gate import Gate
    from sage_migrate.project import Project

# Where nothing was measured yet, so that a release does not begin what it would have to break off: slow, on purpose.
_BUILD_BYTES_PER_SECOND = 20_000_000
_SCAN_BYTES_PER_SECOND = 100_000_000
_BACKFILL_ROWS_PER_SECOND = 10_000
_MEASURED_SECONDS = 1.0
_LEAST_SECONDS = 1.0
_IN_MINUTES_FROM = 120


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a piece of work takes, and what that is from."""

    seconds: float
    source: str

    @property
    def text(self) -> str:
        """Both, for a person."""
        minutes = self.seconds >= _IN_MINUTES_FROM
        length = f"{self.seconds / 60:.0f} min" if minutes else f"{max(1, round(self.seconds))} s"
        return f"about {length} (estimated from {self.source})"


class OnlineLeftError(Exception):
    """An online revision's work does not fit what is left of the deadline. It never leaves the run."""

    def __init__(self, why: str, estimate: Estimate | None = None) -> None:
        """Say ``why`` in words that follow the revision's name."""
        super().__init__(why)
        self.why, self.estimate = why, estimate


def check_fits(estimate: Estimate | None, seconds: float) -> None:
    """Refuse to begin what takes longer than ``seconds``; without an estimate it is tried.

    Raises:
        OnlineLeftError: it does not fit.
    """
    if estimate is not None and estimate.seconds > seconds:
        raise OnlineLeftError(f"takes {estimate.text}, which does not fit this run's deadline", estimate)
    if seconds < _LEAST_SECONDS:
        raise OnlineLeftError("is not done, and the deadline is near")


def estimate_statement(statement: str, fetch: Fetch) -> Estimate | None:
    """Estimate a statement that blocks nobody by what an earlier try noted, or by its table's size."""
    scanned = scanned_table(statement, fetch)
    if scanned is None:
        return None
    if scanned.noted_seconds is not None:
        return Estimate(seconds=scanned.noted_seconds, source="an earlier build of the index, which was broken off")
    table = quote_literal(scanned.table)
    ((size,),) = fetch(
        "SELECT coalesce(sum(pg_relation_size(relid)), 0)::int8 FROM"  # noqa: S608  quoted
        f" (SELECT relid FROM pg_partition_tree(to_regclass({table})) UNION SELECT to_regclass({table})) AS part"
    )
    rate = _BUILD_BYTES_PER_SECOND if scanned.is_build else _SCAN_BYTES_PER_SECOND
    return Estimate(
        seconds=size / rate,
        source=f"{size / 1e6:.0f} MB of {scanned.table} at {rate / 1e6:.0f} MB/s, which is assumed",
    )


def estimate_backfill(table: str, *, left: int, scanned: int, seconds: float) -> Estimate:
    """Estimate how long the rows that are ``left`` to look at take, by those that were looked at so far."""
    is_measured = scanned > 0 and seconds >= _MEASURED_SECONDS
    rate = scanned / seconds if is_measured else _BACKFILL_ROWS_PER_SECOND
    how = "its rate so far" if is_measured else "which is assumed"
    return Estimate(seconds=left / rate, source=f"{left} rows of {table} at {rate:.0f} rows/s, {how}")


def still_needed(
    revision: str, left: OnlineLeftError, *, needing: tuple[str, ...], contracts: tuple[str, ...], command: str
) -> GateError:
    """Return the refusal by ``command`` of a release that needs what would be left; some of what needs it may be ``contracts``."""
    facts = {
        "revision": revision,
        "estimated_seconds": round(left.estimate.seconds) if left.estimate else None,
        "needed_by": needing,
    }
    needed = ", ".join(contracts or needing)
    remedy = (
        f"Release without {', '.join(needing)} first and let its online run (Helm: migration.online.enabled) do {revision}, or do it now, "
        "beside the application: "
        f"sage-migrate {command} {revision} --online. Then release this again."
    )
    if contracts:
        return ContractRefusedError(
            f"The `contract` revision {needed} may only follow when the online revision {revision} is done. {revision} {left.why}.",
            remedy=remedy,
            facts=facts,
        )
    return DeadlineExceededError(
        f"Revision {needed} needs the online revision {revision}. {revision} {left.why}.",
        remedy=remedy,
        facts=facts,
    )


def has_online(project: "Project") -> bool:
    """Tell whether any revision of the history is declared online."""
    return any(project.declaration(revision).online for revision in project.scripts)


def left_to_online_run(gate: "Gate", connect: Connect, project: "Project", target: str) -> tuple[str, ...] | None:
    """Return what is pending where an online run is at work and all of it is for that: then this release waits for nothing."""
    if not has_online(project):
        return None
    session = gate.connect_session(connect, "sage-migrate look")
    pid = gate.call(online_runner(session))
    gate.call(session.close())
    if pid is None:
        return None
    from sage_migrate.status import ask_status

    status = ask_status(gate.settings, project, gate.interruption, target)
    if status.state not in ("pending", "at-head") or status.pending != status.online:
        return None
    log.info("online_run_at_work", pid=pid, pending=status.pending)
    return status.pending


async def online_runner(session: Session, key: int = LOCK_KEY) -> int | None:
    """Return the pid of the online run that holds the runner's lock, None where no run does, or another one."""
    holder = await lock_holder(session, key)
    return holder["pid"] if holder is not None and holder["application_name"] == ONLINE else None
