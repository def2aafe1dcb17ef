"""The gate on one screen: wait, preflight, lock, apply, verify, report."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from sage_migrate.advisory_lock import acquire_lock
from sage_migrate.apply import MigrationRun
from sage_migrate.concurrent_ddl import report_invalid_indexes
from sage_migrate.errors import EndedShortError, RunnerLockTimeoutError
from sage_migrate.gate import Gate, LockedDatabase
from sage_migrate.interruption import Interruption
from sage_migrate.lineage import Proof
from sage_migrate.logs import log
from sage_migrate.online import left_to_online_run
from sage_migrate.preflight.position import Position, read_versions
from sage_migrate.preflight.server import check_pooler, check_server
from sage_migrate.project import Project, load_project, offer_url
from sage_migrate.report import Report
from sage_migrate.session import ONLINE, Connect, connect_by_url, quote_literal
from sage_migrate.settings import Settings


def upgrade(  # noqa: PLR0913, PLR0917  the last three are a fleet's
    settings: Settings,
    target: str,
    report: Report,
    interruption: Interruption,
    fingerprint: str | None = None,
    project: Project | None = None,
    tenants: Sequence[str] | None = None,
) -> None:
    """Bring the database to ``target``, up or down as ``report`` says, or leave every revision whole and say why it stops.

    A ``project`` that is read already is not read again. A run of some ``tenants`` of the database lets those of others be.

    Raises:
        GateError: one for each way to end short of the target; ``report`` then says what was applied.
    """
    project = project or load_project(settings)
    report.target = project.resolve(target)
    offer_url(settings, project)
    with Gate(settings, interruption) as gate:
        gate.recorder = report.recorder
        if settings.database_url is not None:
            connect = connect_by_url(settings)
            may_leave = not report.is_downgrade and not settings.online and tenants is None
            if may_leave and (left := left_to_online_run(gate, connect, project, target)) is not None:
                report.outcome = "left to the online run that is at work"
                report.left += left
                return
            open_gate(gate, connect, tenants)
        run = MigrationRun(
            gate, project, report, target, lambda connection: open_gate(gate, connect_like(connection), tenants)
        )
        position = run.apply()
        for (database, _), each in run.positions.items():
            gate.turn_to(database)
            verify(gate, each, report, project)
        if len(run.positions) == 1:
            leave_proof(gate, position, project, fingerprint)
    done = "reverted" if report.is_downgrade else "applied"
    none = "database ahead" if position.ahead else "left to an online run" if report.left else "nothing to do"
    report.outcome = done if report.applied else none


def open_gate(gate: Gate, connect: Connect, tenants: Sequence[str] | None = None) -> None:
    """Wait for the database, check the server, and take the runner's lock."""
    lock = gate.connect_session(connect, ONLINE if gate.settings.online else "sage-migrate lock")
    watch = gate.connect_session(connect, "sage-migrate watch")
    gate.call(check_server(lock))
    gate.call(check_pooler(lock, watch))
    gate.expect_deadline_error(runner_lock_not_had)
    pid, token = gate.call(acquire_lock(lock, if_locked=gate.settings.if_locked, tenants=tenants))
    gate.expect_deadline_error(None)
    gate.open(LockedDatabase(connect=connect, lock=lock, watch=watch, lock_pid=pid, lock_token=token))


def runner_lock_not_had() -> RunnerLockTimeoutError:
    """Say that the deadline was met while another runner was awaited."""
    return RunnerLockTimeoutError(
        "Another runner held the migration lock until the deadline.",
        remedy="The runner_lock_awaited events name it. Run this again when it has ended; if it is dead, end its session "
        "(pg_terminate_backend).",
    )


def connect_like(connection: object) -> Connect:
    """Return how to open a session as env.py's own engine does."""
    from sage_migrate.engine_session import connect_by_engine

    return connect_by_engine(connection.engine)  # type: ignore[attr-defined]


def verify(gate: Gate, position: Position, report: Report, project: Project) -> None:
    """Check the version table on the gate's own session, and tell of INVALID indexes.

    Raises:
        EndedShortError: as `check_versions`.
    """
    assert gate.watch is not None
    check_versions(gate.call(read_versions(gate.watch, position.table)), position, report, project)
    gate.call(report_invalid_indexes(gate.watch))


def check_versions(found: tuple[str, ...], position: Position, report: Report, project: Project) -> None:
    """Compare what the version table holds with what the run's transactions wrote.

    Raises:
        EndedShortError: they differ, so something that was reported as applied is not there.
    """
    if found != position.current:
        reached = project.ancestors(found)
        report.applied = [each for each in report.applied if (each.revision in reached) != report.is_downgrade]
        at, target = ", ".join(found) or "nothing", ", ".join(position.current) or "nothing"
        msg = f"The version table holds {at}, and this run's target was {target}."
        raise EndedShortError(
            msg,
            remedy="env.py swallowed an error or rolled the transaction back: let it re-raise, and commit.",
            facts={"found": found, "expected": position.current},
        )
    log.info("verified", current=found)


def leave_proof(gate: Gate, position: Position, project: Project, fingerprint: str | None) -> None:
    """Leave beside the version table what lets the next run with nothing to do end without env.py.

    A courtesy to the next run: that it could not be written changes nothing of this one's success.
    """
    proof = Proof(fingerprint=fingerprint, heads=position.current) if fingerprint else None
    if proof is None or proof == position.lineage.proof or position.current != tuple(sorted(project.heads)):
        return
    comment = quote_literal(replace(position.lineage, proof=proof).to_comment())
    with contextlib.suppress(Exception):
        assert gate.watch is not None
        gate.call(gate.watch.fetch(f"COMMENT ON TABLE {position.table} IS {comment}"))
