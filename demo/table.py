"""The result, for somebody who sees this for the first time."""

from collections.abc import Iterator

from demo.side import Side


def render(bare: Side, gate: Side, *, reader_seconds: float) -> str:
    """Return both sides as a table, and what the gate's log said of the session in its way."""
    sides = (bare, gate)
    rows = {
        "": ["bare alembic upgrade", "sage-migrate upgrade"],
        "longest wait of a request": [f"{side.felt.maximum_stall_seconds:.2f} s" for side in sides],
        "99 of 100 waited less than": [f"{side.felt.p99_seconds:.3f} s" for side in sides],
        "failed requests": [f"{side.felt.failed} of {side.felt.requests}" for side in sides],
        "the migrations": ["all applied" if side.applied else "NOT APPLIED" for side in sides],
        "time taken": [f"{side.run.seconds:.1f} s" for side in sides],
        "after the report's end": [f"{_after_reader(side):.1f} s" for side in sides],
        "tries for the lock": [f"{side.tries}" for side in sides],
    }
    return "\n".join(
        [
            "",
            "What a live application felt on its 8 connections while a deploy changed the table that they use",
            f"(a report had just begun to read that table, for {reader_seconds:g} s):",
            "",
            *(f"  {name:<28}{cells[0]:<24}{cells[1]}" for name, cells in rows.items()),
            "",
            "Why, as the gate's own log tells it:",
            "",
            *(f"  {line}" for event in gate.events("lock_try_failed", "lock_awaited") for line in _tell(event)),
            "",
        ]
    )


def _tell(event: dict[str, object]) -> Iterator[str]:
    yield f"{event['event']}: try {event['tries']} of revision {event['revision']} {event.get('statement') or ''}"
    blockers = event["blockers"]
    assert isinstance(blockers, list)
    for blocker in blockers:
        yield (
            f"    in the way: {blocker['application_name']} (pid {blocker['pid']}), with {blocker['mode']} on "
            f"{blocker['relation']} for {blocker['transaction_age_seconds']} s"
        )
        yield f"    {blocker['state']}: {blocker['query']}"


def _after_reader(side: Side) -> float:
    assert side.run.reader_ended is not None
    return max(0.0, side.run.ended - side.run.reader_ended)
