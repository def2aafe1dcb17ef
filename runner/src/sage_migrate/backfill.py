"""Set a column in batches before its revision runs: by ranges of a key, each a short transaction that stays when it is done.

One UPDATE of a whole table keeps every row that it touched locked until it ends. A batch keeps few rows for a moment,
and what is done is noted beside the version table in the batch's own transaction, so a run that ends goes on there.
"""

import asyncio
import contextlib
import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sage_migrate.backfill_key import Key, read_key
from sage_migrate.declarations import Backfill
from sage_migrate.durations import as_milliseconds, format_duration
from sage_migrate.errors import DeadlineExceededError, GateError, MigrationFailedError, StatementTimeoutError
from sage_migrate.failures import QUERY_CANCELED, RETRYABLE, Circumstances, explain, server_message, sqlstate_of
from sage_migrate.lineage import BackfillMark, Lineage
from sage_migrate.logs import log
from sage_migrate.online import Estimate, check_fits, estimate_backfill
from sage_migrate.progress import SAY_SECONDS, telling_interval
from sage_migrate.progress_line import bar
from sage_migrate.session import (
    ANSWER_SECONDS,
    Row,
    Session,
    is_broken,
    quote_identifier,
    quote_literal,
    set_config_sql,
)

if TYPE_CHECKING:
    from sage_migrate.gate import Gate, MigrationBackend

_FIRST_ROWS = 500
_MOST_ROWS = 100_000
# A batch keeps its rows for so long.
_BATCH_SECONDS = 0.1
# What batches owe the application is paid together: a process that has rested is let run for some milliseconds before those
# that wake meanwhile, and where cores are few they feel each of its beginnings more than the work that follows.
# https://docs.kernel.org/scheduler/sched-eevdf.html
_REST_SECONDS = 0.5
_BETWEEN_BATCHES = float("inf")
_MOST_PASSES = 5
_LOOK_AT_LAG_SECONDS = 1.0
_RETRY_SECONDS = 0.1
# And a row that moves to another partition while the batch waits for it, which PostgreSQL calls a serialization failure.
_OF_THE_MOMENT = RETRYABLE | {"40001"}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: what a single row's values are to blame for, if only to a trigger.
_OF_A_ROW = ("22", "23", "44", "P0")


class BackfillRun:
    """One revision's backfill, on a session of its own."""

    def __init__(  # noqa: PLR0913  what it runs on, and where its progress is kept
        self,
        gate: "Gate",
        session: Session,
        backend: "MigrationBackend",
        *,
        revision: str,
        declared: Backfill,
        version_table: str | None,
        lineage: Lineage,
        script_directory: Path,
    ) -> None:
        """Prepare to go on where ``lineage`` says; without a ``version_table`` to write to nothing is noted."""
        self._gate = gate
        self._session = session
        self._backend = backend
        self._revision = revision
        self._declared = declared
        self._version_table = version_table
        self._script_directory = script_directory
        self.lineage = lineage
        self.mark = lineage.backfills.get(revision, BackfillMark())
        self._rows = _FIRST_ROWS
        self._suspect_rows = 0
        """How many of the rows ahead hold one that cannot be set: batches only get smaller there."""
        self._looked_at_lag = self._said = self._marked = self._longest_batch = self._rest_owed = 0.0
        self._wait: tuple[object, ...] = ()
        self._said_wait = 0.0
        self._key = Key(names=(), types=())
        self._rows_estimated = 0

    async def run(self) -> None:
        """Go through the table until a whole pass finds nothing left to do.

        Raises:
            GateError: what is done stays, and the next run goes on there.
            OnlineLeftError: the same, and this run may leave it.
        """
        await self._session.fetch(set_config_sql(self._limits()))
        if self._gate.settings.role:
            await self._session.fetch(f"SET ROLE {quote_identifier(self._gate.settings.role)}")
        self._key = await read_key(self._session, self._declared, self._revision)
        if self.mark.key != self._key.identity:  # a mark of another declaration says nothing of this one's rows
            self.mark = BackfillMark(key=self._key.identity, rows=self.mark.rows)
        await self._check_may_note()
        self._rows_estimated = await self._estimate_rows()
        check_fits(self._estimate(), self._gate.remaining_for_online())
        log.info(
            "backfill_started",
            revision=self._revision,
            table=self._declared.table,
            key=self._key.names,
            rows_estimated=self._rows_estimated,
            rows_done=self.mark.rows,
        )
        self._said = self._marked = time.monotonic()
        self._backend.batch_began = _BETWEEN_BATCHES
        try:
            await self._go_through()
        finally:
            if log.progress_line is not None:
                log.progress_line.show("")
        log.info("backfill_finished", revision=self._revision, table=self._declared.table, rows_done=self.mark.rows)

    async def _go_through(self) -> None:
        whole_passes = 0
        while True:
            is_whole, before = not self.mark.after, self.mark.rows
            await self._pass()
            changed = self.mark.rows - before
            if is_whole and not changed:
                return
            whole_passes += is_whole
            if whole_passes == _MOST_PASSES:
                raise self._still_written(changed)
            self.mark = replace(self.mark, number=self.mark.number + 1)

    async def _check_may_note(self) -> None:
        """Do without notes where the session's role does not own the version table: a broken-off run begins again."""
        owned = self._version_table and await self._session.fetch(
            "SELECT pg_has_role(relowner, 'USAGE') AS owned FROM pg_class"  # noqa: S608  quoted
            f" WHERE oid = to_regclass({quote_literal(self._version_table)})"
        )
        if not owned or not owned[0]["owned"]:
            self._version_table = None
            log.warning("backfill_not_noted", revision=self._revision, effect="a run that is broken off begins again")

    async def _pass(self) -> None:
        """Go through the table once, from the mark on."""
        while True:
            await self._wait_for_replicas()
            await self._check_may_go_on()
            began = self._backend.batch_began = time.monotonic()
            is_done = await self._try_batch()
            self._backend.batch_began = _BETWEEN_BATCHES
            if not is_done:
                continue
            if not self.mark.after:
                return
            await self._rest(time.monotonic() - began)

    async def _check_may_go_on(self) -> None:
        await self._gate.ask_ended_lock()
        check_fits(None, self._gate.remaining_for_online())

    async def _upper_bound(self) -> tuple[str, ...] | None:
        """Return the key of the batch's last row; None where fewer rows than a batch are left."""
        # ORDER BY means what is selected before it means a column: no column has such a name.
        texts = ", ".join(f'{quote_identifier(name)}::text AS "key {i}"' for i, name in enumerate(self._key.names))
        rows = await self._fetch(
            f"SELECT {texts} FROM {self._declared.table}{self._where(None)} ORDER BY {self._key.columns}"  # noqa: S608  the project's own
            f" LIMIT 1 OFFSET {self._rows - 1}"
        )
        return tuple(rows[0].values()) if rows else None

    def _where(self, upper: tuple[str, ...] | None, *more: str) -> str:
        conditions = [
            *([self._key.compared(">", self.mark.after)] if self.mark.after else []),
            *([self._key.compared("<=", upper)] if upper else []),
            *more,
        ]
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    async def _try_batch(self) -> bool:
        """Set a batch's rows, note it and commit; False to try it again with fewer."""
        upper = None
        try:
            upper = await self._upper_bound()
            began = time.monotonic()
            try:
                await self._batch(upper)
            finally:  # one that fails has kept its rows as well
                self._longest_batch = max(self._longest_batch, time.monotonic() - began)
        except Exception as error:
            with contextlib.suppress(Exception):  # a broken session has no transaction to end
                await self._session.execute("ROLLBACK")
            self._backend.running = self._backend.committing = False
            if isinstance(error, GateError):
                raise
            await self._recover(error, upper)
            return False
        return True

    async def _batch(self, upper: tuple[str, ...] | None) -> None:
        predicate = f"({self._declared.where}\n)"  # which may end in a comment
        key = f"ARRAY[{', '.join(f'{quote_identifier(name)}::text' for name in self._key.names)}]"
        await self._session.execute("BEGIN")
        (row,) = await self._fetch(
            f"WITH changed AS (UPDATE {self._declared.table} SET {self._declared.set}\n{self._where(upper, predicate)}"  # noqa: S608  the project's own
            f" RETURNING {predicate} IS TRUE AS still, {key} AS key)"
            " SELECT count(*) AS rows, (array_agg(key) FILTER (WHERE still))[1:1] AS unchanged FROM changed"
        )
        if row["unchanged"]:
            raise MigrationFailedError(
                f"The backfill of revision {self._revision} set the row with {self._key.described(row['unchanged'][0])} of "
                f"{self._declared.table}, and it is still one of those that are left: {self._declared.where}.",
                remedy="Let `where` name rows that `set` makes true no longer (a trigger may undo it); otherwise it never ends.",
                facts={"revision": self._revision},
            )
        now = time.monotonic()
        mark = replace(
            self.mark,
            after=upper or (),
            rows=self.mark.rows + row["rows"],
            scanned=self.mark.scanned + self._rows,
            seconds=self.mark.seconds + now - self._marked,
        )
        await self._note(mark)
        self._backend.committing = True
        await self._session.execute("COMMIT")
        self._backend.running = self._backend.committing = False
        self.mark, self._marked = mark, now

    async def _note(self, mark: BackfillMark) -> None:
        if self._version_table is None:
            return
        self.lineage = self.lineage.with_backfill(self._revision, mark)
        await self._session.execute(
            f"COMMENT ON TABLE {self._version_table} IS {quote_literal(self.lineage.to_comment())}"
        )

    async def _fetch(self, statement: str) -> list[Row]:
        # What a report shows is what the revision declares.
        declared = self._declared
        self._backend.begin(f"UPDATE {declared.table} SET {declared.set} WHERE {declared.where}")  # noqa: S608
        rows = await self._session.fetch(statement)
        self._backend.running = False
        return rows

    async def _rest(self, elapsed: float) -> None:
        """Let the application have its turn, make the next batch fit its time, and tell how far it is."""
        wanted = min(_BATCH_SECONDS, self._gate.guard.stall_budget / 4)
        self._suspect_rows = max(0, self._suspect_rows - self._rows)
        if not self._suspect_rows:
            factor = min(2.0, max(0.5, wanted / max(elapsed, 0.001)))
            self._rows = max(1, min(_MOST_ROWS, round(self._rows * factor)))
        self._rest_owed += elapsed * self._gate.settings.backfill_rest
        if self._rest_owed >= _REST_SECONDS:
            await asyncio.sleep(min(self._rest_owed, self._gate.remaining_for_online()))
            self._rest_owed = 0.0
        self._tell()

    def _tell(self) -> None:
        """Say how far it is, every few seconds, or draw it for a person."""
        line = log.progress_line
        if time.monotonic() - self._said < telling_interval():
            return
        self._said = time.monotonic()
        rate, total = round(self.mark.scanned / self.mark.seconds), self._rows_estimated
        left = round(self._estimate().seconds) if total else None
        if line is not None:
            drawn, about = (f"{bar(1 - self._rows_left() / total)}  ", f", about {left} s left") if total else ("", "")
            line.show(
                f"{drawn}backfill, {self.mark.rows} rows set, {rate} rows/s{about}, "
                f"no wait for it over {math.ceil(self._longest_batch * 10) / 10} s: {self._declared.table}"
            )
            return
        log.info(
            "backfill_progress",
            revision=self._revision,
            table=self._declared.table,
            rows_done=self.mark.rows,
            rows_per_second=rate,
            seconds_left=left,
            batch_rows=self._rows,
            after=self._key.described(self.mark.after) if self._gate.settings.show_literals else None,
            longest_batch_seconds=round(self._longest_batch, 3),
        )

    async def _wait_for_replicas(self) -> None:
        """Wait until no replica is further behind than is declared."""
        limit = self._declared.max_replica_lag
        while limit is not None and time.monotonic() - self._looked_at_lag >= _LOOK_AT_LAG_SECONDS:
            self._looked_at_lag = time.monotonic()
            (row,) = await self._session.fetch(
                "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 AS lag,"
                " coalesce(bool_or(state IS NULL), false) AS hidden FROM pg_stat_replication"
            )
            if row["hidden"]:
                self._looked_at_lag = float("inf")  # there is nothing to be seen later either
                log.warning(
                    "backfill_replicas_not_seen",
                    revision=self._revision,
                    effect="max_replica_lag holds nothing up",
                    remedy="GRANT pg_read_all_stats TO the migrating role",
                )
                return
            if row["lag"] > limit:
                if self._is_to_be_told("replica lag"):
                    log.info(
                        "backfill_waits", revision=self._revision, reason="replica lag", seconds=round(row["lag"], 1)
                    )
                await asyncio.sleep(_LOOK_AT_LAG_SECONDS)
                await self._check_may_go_on()

    async def _recover(self, error: Exception, upper: tuple[str, ...] | None) -> None:
        """Try again with half the rows, where that can help.

        Raises:
            GateError: it cannot.
        """
        sqlstate = sqlstate_of(error) or ""
        alone = self._rows == 1
        of_a_row = sqlstate.startswith(_OF_A_ROW)
        if sqlstate in _OF_THE_MOMENT or ((of_a_row or sqlstate == QUERY_CANCELED) and not alone):
            if of_a_row and not self._suspect_rows:
                self._suspect_rows = self._rows
            self._rows = max(1, self._rows // 2)
            if not of_a_row:
                if self._is_to_be_told(sqlstate, self._rows):
                    log.info("backfill_waits", revision=self._revision, reason=sqlstate, batch_rows=self._rows)
                await asyncio.sleep(random.uniform(0, _RETRY_SECONDS))  # noqa: S311  jitter
            return
        if of_a_row:
            row = await self._first_row(upper)
            raise MigrationFailedError(
                f"The backfill of revision {self._revision} cannot set the row with {row} of {self._declared.table}: "
                f"{server_message(error)} (SQLSTATE {sqlstate}).",
                remedy="Mend that row, or the declaration, and run it again: it goes on there.",
                facts={"sqlstate": sqlstate, "revision": self._revision},
            ) from error
        if sqlstate == QUERY_CANCELED and time.monotonic() - self._backend.started >= self._statement_timeout():
            raise StatementTimeoutError(
                f"The backfill of revision {self._revision} worked for longer than {format_duration(self._statement_timeout())}, the "
                f"most that others may wait for a batch, on {self._key.described(upper) if upper else 'the next row'} of "
                f"{self._declared.table} alone.",
                remedy="Name in `key` columns whose values few rows share, and see that no trigger is slow; then run it again: it goes on "
                "there.",
                facts={"sqlstate": sqlstate, "revision": self._revision},
            ) from error
        if not sqlstate and is_broken(error):
            raise error  # as any session of the gate that breaks
        raise self._explained(error) from error

    def _is_to_be_told(self, *wait: object) -> bool:
        """Tell whether to say what is waited for: the same not each time, of which a day has very many."""
        if wait == self._wait and time.monotonic() - self._said_wait < SAY_SECONDS:
            return False
        self._wait, self._said_wait = wait, time.monotonic()
        return True

    async def _first_row(self, upper: tuple[str, ...] | None) -> str:
        if upper is None:
            upper = await self._upper_bound()
        return self._key.described(upper) if upper else "the last key"

    def _explained(self, error: Exception) -> GateError:
        return explain(
            error,
            Circumstances(
                revision=self._revision,
                statement=self._backend.statement,
                statement_seconds=time.monotonic() - self._backend.started,
                statement_timeout=self._statement_timeout(),
                connected=True,
                script_directory=self._script_directory,
                show_literals=self._gate.settings.show_literals,
            ),
        )

    def _statement_timeout(self) -> float:
        most = min(self._gate.guard.stall_budget / 2, self._gate.settings.statement_timeout)
        return min(most, ANSWER_SECONDS / 2)  # the server ends a batch before its session is given up

    def _limits(self) -> dict[str, str]:
        return {
            "lock_timeout": as_milliseconds(self._gate.settings.lock_timeout),
            "statement_timeout": as_milliseconds(self._statement_timeout()),
            "idle_in_transaction_session_timeout": as_milliseconds(self._gate.settings.idle_timeout),
            "client_connection_check_interval": "500ms",
            # A row that another session has just written is then set as it is now, and no other transaction fails for ours.
            "default_transaction_isolation": "read committed",
            # Of a huge table each batch is estimated dear, and would be compiled anew, for longer than it takes.
            "jit": "off",
        }

    def _estimate(self) -> Estimate:
        """Estimate what is left, by the rate so far."""
        return estimate_backfill(
            self._declared.table, left=self._rows_left(), scanned=self.mark.scanned, seconds=self.mark.seconds
        )

    def _rows_left(self) -> int:
        """Return how many rows this pass has still to look at."""
        return min(self._rows_estimated, max(0, self.mark.number * self._rows_estimated - self.mark.scanned))

    async def _estimate_rows(self) -> int:
        """Return the planner's estimate, which goes by the table's size now; 0 where that is not to be had."""
        try:
            plan = await self._session.fetch(f"EXPLAIN SELECT FROM {self._declared.table}")
        except Exception as error:
            if sqlstate_of(error) is None:
                raise
            return 0  # for want of a lock, or of a right that the first batch tells of
        found = re.search(r" rows=(\d+) ", next(iter(plan[0].values())))
        assert found
        return int(found[1])

    def _still_written(self, changed: int) -> MigrationFailedError:
        return MigrationFailedError(
            f"The backfill of revision {self._revision} went through {self._declared.table} {_MOST_PASSES} times, and the last "
            f"time there were {changed} new rows to set: something goes on writing rows where {self._declared.where}.",
            remedy="Give the column a default, or a trigger that sets it, in an earlier revision; then run it again.",
            facts={"revision": self._revision},
        )


def deadline_error(run: BackfillRun, declared: Backfill, revision: str, *, command: str) -> Callable[[], GateError]:
    """Return how to say that the deadline ended a backfill of ``command``, which loses nothing."""
    return lambda: DeadlineExceededError(
        f"The backfill of revision {revision} was not done by the deadline: {run.mark.rows} rows of {declared.table} are set.",
        remedy="Run it again: it goes on there. A long one is better run before the release, beside the application: "
        f"sage-migrate {command} {revision} --online.",
        facts={"revision": revision, "rows_done": run.mark.rows},
    )
