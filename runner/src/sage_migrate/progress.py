"""How far a long statement is, where PostgreSQL tells: a log event every few seconds, or a line on a terminal."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage_migrate.logs import log
from sage_migrate.progress_line import bar
from sage_migrate.redact import shorten_sql
from sage_migrate.session import Session

if TYPE_CHECKING:
    from sage_migrate.gate import Gate, MigrationBackend

_TICK_SECONDS = 0.25
SAY_SECONDS = 5.0
_DRAW_SECONDS = 1.0
# https://www.postgresql.org/docs/current/progress-reporting.html
_PROGRESS = """
SELECT command, phase,
       CASE WHEN total > 0 THEN done ELSE rows_done END AS done,
       CASE WHEN total > 0 THEN total ELSE rows_total END AS total,
       CASE WHEN total > 0 THEN unit ELSE 'rows' END AS unit
FROM (
  SELECT command, phase, blocks_done AS done, blocks_total AS total, 'blocks' AS unit,
         tuples_done AS rows_done, tuples_total AS rows_total
    FROM pg_stat_progress_create_index WHERE pid = {pid}
  UNION ALL SELECT command, phase, heap_blks_scanned, heap_blks_total, 'blocks', heap_tuples_scanned, 0
    FROM pg_stat_progress_cluster WHERE pid = {pid}
  UNION ALL SELECT 'VACUUM', phase, heap_blks_scanned, heap_blks_total, 'blocks', 0, 0
    FROM pg_stat_progress_vacuum WHERE pid = {pid}
  UNION ALL SELECT 'ANALYZE', phase, sample_blks_scanned, sample_blks_total, 'blocks', 0, 0
    FROM pg_stat_progress_analyze WHERE pid = {pid}
  UNION ALL SELECT command, type, bytes_processed, bytes_total, 'bytes', tuples_processed, 0
    FROM pg_stat_progress_copy WHERE pid = {pid}
) AS progress
"""
# What comes after the first scan of the table (sort, load, a second scan to validate) takes about as long again.
_SHARE_OF_FIRST_SCAN = 0.5
_FIRST_SCAN = "building index: scanning table"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One look. ``fraction`` is that of the phase; ``estimated_seconds`` of the whole statement, where it can be told.

    Where PostgreSQL does not say how much there is in all, ``total`` is 0 and ``done`` the rows so far.
    """

    command: str
    phase: str
    done: int
    total: int
    unit: str
    elapsed_seconds: float

    @property
    def fraction(self) -> float | None:
        """How much of the phase is done, None where PostgreSQL does not say."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def estimated_seconds(self) -> float | None:
        """How long the whole build of an index takes, judged by its first scan; a rough figure, to refuse by."""
        if self.phase != _FIRST_SCAN or not self.fraction:
            return None
        return self.elapsed_seconds / (self.fraction * _SHARE_OF_FIRST_SCAN)


async def read_progress(session: Session, pid: int, elapsed_seconds: float) -> Progress | None:
    """Return how far the statement of ``pid`` is, None where PostgreSQL has no view for it."""
    rows = await session.fetch(_PROGRESS.format(pid=pid))
    row = next((row for row in rows if row["phase"] is not None), None)
    if row is None:
        return None
    return Progress(
        command=row["command"],
        phase=row["phase"],
        done=row["done"] or 0,
        total=row["total"] or 0,
        unit=row["unit"],
        elapsed_seconds=elapsed_seconds,
    )


def telling_interval() -> float:
    """Return how many seconds pass between two words of progress: a line is drawn more often than an event is logged."""
    return SAY_SECONDS if log.progress_line is None else _DRAW_SECONDS


async def look_at_progress(session: Session, backend: "MigrationBackend") -> None:
    """Note on ``backend`` how far its statement is, and how long the whole takes where that can be told."""
    backend.progress = await read_progress(session, backend.pid, time.monotonic() - backend.started)
    if backend.progress is not None and backend.progress.estimated_seconds is not None:
        backend.estimated_seconds = backend.progress.estimated_seconds


async def watch_progress(gate: "Gate", session: Session, backend: "MigrationBackend") -> None:
    """Say how far a long statement is, every few seconds of it, until cancelled."""
    line, statement, said = log.progress_line, 0.0, 0.0
    try:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if line is not None and (backend.started != statement or not backend.running):
                line.show("")
            if backend.started != statement:
                statement = said = backend.started
            if not backend.running or time.monotonic() - said < telling_interval():
                continue
            said = time.monotonic()
            try:
                await look_at_progress(session, backend)
            except Exception as error:  # noqa: BLE001  any driver's: progress is a courtesy, the guard tells of a broken session
                log.info("progress_unknown", reason=type(error).__name__)
                return
            sql = shorten_sql(backend.statement, literals=gate.settings.show_literals)
            if line is None:
                _log(sql, said - statement, gate.guard.longest_stall_seconds, backend.progress)
            else:
                line.show(_draw(sql, said - statement, gate.guard.longest_stall_seconds, backend.progress))
    finally:
        if line is not None:
            line.show("")


def _log(statement: str, elapsed_seconds: float, longest_stall_seconds: float, progress: Progress | None) -> None:
    fields: dict[str, object] = {}
    if progress is not None:
        fraction = progress.fraction
        fields = {"phase": progress.phase, "done": progress.done, "total": progress.total, "unit": progress.unit}
        fields |= {"fraction": None if fraction is None else round(fraction, 3)}
    log.info(
        "statement_progress",
        statement=statement,
        elapsed_seconds=round(elapsed_seconds, 1),
        longest_stall_seconds=round(longest_stall_seconds, 3),
        **fields,
    )


def _draw(statement: str, elapsed_seconds: float, longest_stall_seconds: float, progress: Progress | None) -> str:
    told = [f"{elapsed_seconds:.0f} s", f"longest wait for it {longest_stall_seconds:.1f} s"]
    if progress is not None:
        total = f" of {progress.total}" if progress.total else ""
        told = [progress.phase, f"{progress.done}{total} {progress.unit}", *told]
    drawn = "" if progress is None or progress.fraction is None else f"{bar(progress.fraction)}  "
    return f"{drawn}{', '.join(told)}: {statement}"
