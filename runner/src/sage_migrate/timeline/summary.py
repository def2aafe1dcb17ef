"""The run in one sentence, with its numbers."""

from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.results import RevisionTimeline, Stall, Timeline
from sage_migrate.timeline.words import count, enumerate_names, ordinal, spell_budget, spell_seconds


def summarize(timeline: Timeline) -> str:
    """Return what was done, how long it took, who was held up, and by what."""
    if not timeline.revisions and timeline.failure is None:
        return "There was nothing to do: the database was at its target."
    parts = [part for part in (_done(timeline), _stood_aside(timeline), _held_up(timeline)) if part]
    return "; ".join(parts) + "."


def describe_stall(stall: Stall) -> str:
    """Return who waited where, how long, and for which lock of the migration."""
    whose = f" ({enumerate_names(stall.application_names)})" if stall.application_names else ""
    return f"{count(stall.sessions, 'session')}{whose} waited up to {spell_seconds(stall.longest_wait_seconds)} {cause_of(stall)}"


def cause_of(stall: Stall) -> str:
    """Return what the waiting sessions waited for."""
    if stall.mode is None:
        return f"on {stall.relation}, behind another session that waited for the migration"
    if stall.queued:
        return f"behind the migration, which queued for {spell_mode(stall.mode)} on {stall.relation}"
    return f"for {spell_mode(stall.mode)}, which the migration held on {stall.relation}"


def describe_declaration(revision: RevisionTimeline) -> str:
    """Return what the revision's own file declares, with its reason; empty where it is nothing but the default."""
    declared = [f"phase {revision.phase}"] if revision.phase != "expand" else []
    if revision.stall_budget_seconds is not None:
        declared.append(f"a stall budget of {spell_budget(revision.stall_budget_seconds)}")
    if revision.maintenance_window:
        declared.append(f"the maintenance window {revision.maintenance_window} UTC")
    reason = f": {revision.reason}" if revision.reason else ""
    return f"It declares {enumerate_names(declared)}{reason}." if declared else ""


def _done(timeline: Timeline) -> str:
    finished = [each for each in timeline.revisions if each.result in ("applied", "reverted")]
    took = spell_seconds(timeline.duration_seconds)
    verb = "reverted" if timeline.command == "downgrade" else "applied"
    if timeline.failure is None:
        return f"{verb.capitalize()} {count(len(finished), 'revision')} in {took}"
    last = timeline.revisions[-1] if timeline.revisions else None
    where = (
        " before any revision was begun"
        if last is None
        else f" in revision {last.revision}"
        if last not in finished
        else ""
    )
    kind = "Stopped" if timeline.failure.exit_status > 128 else "Failed"  # noqa: PLR2004  a signal
    stay = "stays" if len(finished) == 1 else "stay"
    kept = f"{count(len(finished), 'revision')} before it {stay} {verb}" if finished else f"nothing was {verb}"
    return (
        f"{kind}{where} after {took} with exit status {timeline.failure.exit_status}, {timeline.failure.reason}; {kept}"
    )


def _stood_aside(timeline: Timeline) -> str:
    tries = timeline.failed_tries
    if not tries:
        return ""
    names = enumerate_names(sorted({blocker.name for each in tries for blocker in each.blockers}), most=3)
    until = f" for {names}" if names else ""
    if any(len(revision.failed_tries) == revision.tries for revision in timeline.revisions):
        got = "1 try did not get its lock" if len(tries) == 1 else f"{len(tries)} tries did not get their lock"
    else:
        got = f"got its lock at the {ordinal(max(revision.tries for revision in timeline.revisions))} try"
    return f"it stood aside {spell_seconds(timeline.paused_seconds)}{until}, and {got}"


def _held_up(timeline: Timeline) -> str:
    worst = timeline.worst_stall
    if timeline.look_seconds is None:
        return ""
    if worst is None:
        return "no session was seen waiting for it"
    names = sorted({name for stall in timeline.stalls for name in stall.application_names})
    whose = f" ({enumerate_names(names)})" if names else ""
    return (
        f"it held up {count(timeline.sessions_held_up, 'session')}{whose}, the longest wait was "
        f"{spell_seconds(worst.longest_wait_seconds)} on {worst.relation}, {_compared(timeline, worst)}"
    )


def _compared(timeline: Timeline, stall: Stall) -> str:
    """Return how the wait compares with the budget that held for it."""
    (revision,) = (each for each in timeline.revisions if stall in each.stalls)
    own = revision.stall_budget_seconds
    if own is None and revision.maintenance_window:
        return f"in the maintenance window {revision.maintenance_window} UTC"
    budget = timeline.limits.stall_budget_seconds if own is None else own
    whose = "the budget" if own is None else "the revision's budget"
    return f"{'over' if stall.longest_wait_seconds > budget else 'within'} {whose} of {spell_budget(budget)}"
