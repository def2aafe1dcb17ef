"""A small run with everything in it: a try that failed, who waited, a failure."""

from dataclasses import replace

from sage_migrate.timeline.results import (
    Blocker,
    FailedTry,
    Failure,
    HeldLock,
    Limits,
    RevisionTimeline,
    Stall,
    Statement,
    Timeline,
)

ADD_NOTE = "ALTER TABLE orders ADD note text"
REWRITE = "ALTER TABLE events ALTER id TYPE bigint"


def lock(relation: str, taken: float, held: float, mode: str = "AccessExclusiveLock") -> HeldLock:
    """Return a lock."""
    return HeldLock(relation=relation, mode=mode, taken_seconds=taken, held_seconds=held)


def statement(sql: str, started: float, duration: float, *locks: HeldLock) -> Statement:
    """Return a statement of the first try."""
    return Statement(sql=sql, attempt=1, started_seconds=started, duration_seconds=duration, locks=locks)


def revision(name: str, started: float, duration: float, *statements: Statement) -> RevisionTimeline:
    """Return an applied revision that declares nothing."""
    return RevisionTimeline(
        revision=name,
        path=f"migrations/versions/{name}.py",
        description=f"What {name} does",
        phase="expand",
        stall_budget_seconds=None,
        maintenance_window="",
        reason="",
        result="applied",
        started_seconds=started,
        duration_seconds=duration,
        tries=1,
        statements=statements,
    )


def timeline(*revisions: RevisionTimeline) -> Timeline:
    """Return a run that ended well and held nobody up."""
    return Timeline(
        command="upgrade",
        started_at="2026-11-02T14:03:11Z",
        duration_seconds=max((each.ended_seconds for each in revisions), default=0.2) + 0.1,
        before=("f0",),
        target=("b2",),
        pending=(),
        limits=Limits(
            lock_timeout_seconds=0.1,
            stall_budget_seconds=1.0,
            statement_timeout_seconds=180.0,
            deadline_seconds=240.0,
        ),
        sessions_held_up=0,
        look_seconds=0.05,
        revisions=revisions,
    )


def example() -> Timeline:
    """Return the run."""
    blocker = Blocker(
        pid=4711,
        relation="orders",
        mode="AccessShareLock",
        application_name="reporting",
        role="bi",
        state="idle in transaction",
        transaction_age_seconds=12.4,
        query="SELECT count(*) FROM orders WHERE state = ?",
    )
    first = replace(
        revision(
            "a1",
            0.4,
            8.2,
            replace(statement(ADD_NOTE, 0.41, 0.1), result="lock_not_obtained"),
            replace(statement(ADD_NOTE, 8.5, 0.01, lock("orders", 8.5, 0.1)), attempt=2),
            replace(statement("UPDATE orders SET note = ?", 8.52, 0.07), attempt=2, executions=1200),
        ),
        tries=2,
        failed_tries=(
            FailedTry(
                attempt=1,
                started_seconds=0.4,
                duration_seconds=0.11,
                sqlstate="55P03",
                sql=ADD_NOTE,
                blockers=(blocker,),
                paused_seconds=7.99,
            ),
        ),
        stalls=(stall("orders", 0.43, 0.08, ADD_NOTE, sessions=6, names=("web", "worker"), queued=True),),
    )
    second = replace(
        revision("b2", 8.65, 1.2, replace(statement(REWRITE, 8.66, 1.15, lock("events", 8.66, 1.16)), result="cancelled")),
        phase="contract",
        stall_budget_seconds=1.1,
        reason="nobody is | up",
        result="rolled back",
        stalls=(stall("events", 8.7, 1.12, REWRITE, sessions=2, names=("web",), queued=False),),
    )  # fmt: skip
    failure = Failure(
        exit_status=32,
        reason="stall budget exceeded",
        what="2 sessions of web waited for the migration.",
        effect="Applied by this run, and staying so: a1. b2 was rolled back whole.",
        remedy="Split the revision.",
    )
    return replace(timeline(first, second), failure=failure, pending=("b2",), sessions_held_up=7)


def stall(  # noqa: PLR0913  what a stall is made of
    relation: str, started: float, duration: float, sql: str, *, sessions: int, names: tuple[str, ...], queued: bool
) -> Stall:
    """Return a stall behind ACCESS EXCLUSIVE."""
    return Stall(
        relation=relation,
        attempt=1,
        started_seconds=started,
        duration_seconds=duration,
        sessions=sessions,
        longest_wait_seconds=duration,
        application_names=names,
        sql=sql,
        mode="AccessExclusiveLock",
        queued=queued,
    )
