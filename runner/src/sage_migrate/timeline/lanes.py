"""Which relations get a lane of the chart, and in which order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sage_migrate.timeline.lock_modes import Effect, strength_of
from sage_migrate.timeline.results import RevisionTimeline, Stall

_MOST_LANES = 40
_Weight = tuple[bool, int, float]


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A lock that a try queued for and did not get."""

    relation: str
    mode: str | None
    started_seconds: float
    ended_seconds: float


def stalls_of(revisions: Sequence[RevisionTimeline]) -> list[Stall]:
    """Return the stalls of all ``revisions``."""
    return [stall for revision in revisions for stall in revision.stalls]


def queues_of(revisions: Sequence[RevisionTimeline]) -> Iterator[Queue]:
    """Yield what each failed try queued for: known by who was in its way."""
    for revision in revisions:
        modes = {stall.relation: stall.mode for stall in revision.stalls if stall.queued}
        last = {work.attempt: work for work in revision.statements if work.result != "done"}
        for each in revision.failed_tries:
            for relation in sorted({blocker.relation for blocker in each.blockers if blocker.relation}):
                if (work := last.get(each.attempt)) is not None:
                    yield Queue(
                        relation=relation,
                        mode=modes.get(relation),
                        started_seconds=work.started_seconds,
                        ended_seconds=work.ended_seconds,
                    )


def choose_lanes(revisions: Sequence[RevisionTimeline]) -> tuple[list[str], list[str]]:
    """Return the relations to draw, in the order in which they were locked, and those that are too many.

    A lock as every query takes it holds nobody up: it gets a lane only where somebody waited.
    """
    first: dict[str, float] = {}
    weights: dict[str, _Weight] = {}
    for relation, moment, weight in _reasons(revisions):
        first[relation] = min(first.get(relation, moment), moment)
        weights[relation] = max(weights.get(relation, weight), weight)
    kept = set(sorted(first, key=lambda relation: weights[relation], reverse=True)[:_MOST_LANES])
    ordered = sorted(first, key=lambda relation: (first[relation], relation))
    return [each for each in ordered if each in kept], [each for each in ordered if each not in kept]


def _reasons(revisions: Sequence[RevisionTimeline]) -> Iterator[tuple[str, float, _Weight]]:
    """Yield why a relation deserves a lane: whether somebody waited, how strong the lock was, how long it took."""
    for stall in stalls_of(revisions):
        yield stall.relation, stall.started_seconds, (True, 0, stall.longest_wait_seconds)
    for queue in queues_of(revisions):
        yield queue.relation, queue.started_seconds, (False, 0, 0.0)
    for revision in revisions:
        for lock in revision.telling_locks:
            if lock.effect > Effect.ORDINARY:
                yield lock.relation, lock.taken_seconds, (False, strength_of(lock.mode), lock.held_seconds)
