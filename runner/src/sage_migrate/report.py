"""What a run did, for the log's last line, the termination message and the person who reads them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sage_migrate.errors import GateError
from sage_migrate.logs import log
from sage_migrate.timeline.listener import RunListener

_TERMINATION_LOG = Path("/dev/termination-log")
# The kubelet keeps 4096 bytes of it: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
_TERMINATION_BYTES = 4000


@dataclass(frozen=True, kw_only=True)
class RevisionResult:
    """One applied revision."""

    revision: str
    duration_seconds: float
    tries: int


@dataclass(kw_only=True)
class Report:
    """The account of one run, filled in as it goes."""

    command: str
    started: float = field(default_factory=time.monotonic)
    target: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    applied: list[RevisionResult] = field(default_factory=list)
    pending: tuple[str, ...] = ()
    revision: str | None = None
    """The revision at work, or the one that failed."""
    partly_committed: bool = False
    """Whether the failed revision had already committed a part of itself (autocommit_block, commit())."""
    left_unfinished: bool = False
    """Whether its last statement leaves something behind when it is broken off, such as an INVALID index."""
    backfilled_rows: int = 0
    """How many rows the failed revision's backfill has set in all; they stay."""
    left: list[str] = field(default_factory=list)
    """The online revisions that this run leaves to an online run."""
    commit_unknown: bool = False
    """Whether the connection broke while the revision's COMMIT was under way, and its outcome could not be found out."""
    outcome: str = "nothing to do"
    recorder: RunListener = field(default_factory=RunListener)

    @property
    def is_downgrade(self) -> bool:
        """Whether the run reverts revisions."""
        return self.command == "downgrade"

    def effect(self) -> str:
        """Return what this run left behind, in one or two sentences."""
        names = ", ".join(each.revision for each in self.applied)
        verb = "reverted" if self.is_downgrade else "applied"
        done = (
            f"{verb.capitalize()} by this run, and staying so: {names}."
            if names
            else f"Nothing was {verb} by this run."
        )
        if self.commit_unknown:
            which = self.revision or "its last transaction"
            return f"{done} Whether {which} was committed is not known: look at the version table."
        if self.revision is None:
            return done
        if self.backfilled_rows:
            return (
                f"{done} {self.revision} was not applied; {self.backfilled_rows} rows that its backfill has set stay."
            )
        if self.partly_committed:
            return f"{done} {self.revision} committed a part of its work before it failed (an autocommit block, or a commit of its own)."
        if self.left_unfinished:
            return (
                f"{done} {self.revision} was rolled back, save for what its last statement may have left (an INVALID index, "
                "a pending detach): the next run puts that right."
            )
        return f"{done} {self.revision} was rolled back whole."


def finish(report: Report, *, termination_log: Path | None) -> None:
    """Log the end of a run that reached its target."""
    report.recorder.write(report)
    seconds = round(time.monotonic() - report.started, 3)
    log.info(
        "finished",
        command=report.command,
        outcome=report.outcome,
        exit_status=0,
        target=report.target,
        applied=[vars(each) for each in report.applied],
        left=report.left,
        duration_seconds=seconds,
    )
    _write_termination_message(
        {"status": 0, "reason": report.outcome, "revision": next(iter(report.target), None)}, termination_log
    )


def fail(report: Report, error: GateError, *, termination_log: Path | None) -> None:
    """Log the end of a run that did not: what happened, its effect, what to do."""
    report.recorder.write(report, error)
    effect = report.effect()
    facts = {name: value for name, value in error.facts.items() if name not in ("revision", "reason")}
    revision = error.facts.get("revision") or report.revision
    log.error(
        "failed",
        message=" ".join(part for part in (error.what, effect, error.remedy) if part),
        command=report.command,
        exit_status=error.exit_status,
        reason=error.summary,
        revision=revision,
        applied=[each.revision for each in report.applied],
        pending=report.pending,
        retryable=error.retryable,
        duration_seconds=round(time.monotonic() - report.started, 3),
        **facts,
    )
    message = {
        "status": error.exit_status,
        "revision": revision,
        "sqlstate": facts.get("sqlstate"),
        "reason": f"{error.what} {effect}",
        "remedy": error.remedy,
    }
    _write_termination_message(message, termination_log)


def revisions_to_apply(plan: Sequence[str], applied: Sequence[RevisionResult]) -> tuple[str, ...]:
    """Return the part of ``plan`` that was not applied."""
    done = {each.revision for each in applied}
    return tuple(revision for revision in plan if revision not in done)


def _write_termination_message(message: dict[str, object], path: Path | None) -> None:
    if path is None and not _TERMINATION_LOG.exists():
        return
    line = json.dumps(message, default=str)
    if len(line.encode()) > _TERMINATION_BYTES:
        line = json.dumps(
            {**message, "reason": str(message["reason"])[:1500], "remedy": str(message.get("remedy", ""))[:500]},
            default=str,
        )
    try:
        (path or _TERMINATION_LOG).write_text(line + "\n", encoding="utf-8")
    except OSError as error:
        log.warning("termination_log_not_written", path=str(path or _TERMINATION_LOG), reason=str(error))
