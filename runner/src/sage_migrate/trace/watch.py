"""Watch one revision on its own connection: after each statement, ask the server what it holds, read, wrote and made.

What a transaction has not committed only its own session can see, so the questions go through the revision's connection,
below SQLAlchemy. They concern the catalogue alone, and take no lock on what the revision uses.
"""
# ruff: noqa: E501  SQL

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection

from sage_migrate.lint import sql as lint_sql
from sage_migrate.lint import statements as ir
from sage_migrate.redact import shorten_sql
from sage_migrate.timeline.results import HeldLock
from sage_migrate.trace.catalog import OURS, Relation, Relations
from sage_migrate.trace.results import Statement

_ACCESS_EXCLUSIVE = "AccessExclusiveLock"
STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", _ACCESS_EXCLUSIVE)
"""The modes that somebody who writes waits for."""
# A question would take the snapshot that SET TRANSACTION must come before, or there is nothing to ask about.
_SAYS_NOTHING = re.compile(r"\s*(?:SET|RESET|SHOW|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
# Where this many statements were looked at, the next of a kind is not: a revision of thousands would take minutes.
_LOOKED_AT_CLOSELY = 300
# Characters by which two statements are the same but for their values; a bulk INSERT has millions.
_TELLING = 2000

_SNAPSHOT = """
SELECT json_build_object(
 'now', extract(epoch FROM transaction_timestamp()), 'wal', (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8,
 'locks', (SELECT json_agg(json_build_array(relation::int8, mode)) FROM pg_locks WHERE pid = pg_backend_pid() AND granted
   AND locktype = 'relation' AND relation >= 16384 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
 'counts', (SELECT json_agg(json_build_array(oid, scans, read, updated, deleted, inserted)) FROM (SELECT c.oid::int8 AS oid, {counts}
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm') AND {ours}) AS t
   WHERE scans + read + updated + deleted + inserted > 0),
 'changed', (SELECT json_agg(json_build_array(c.oid::int8, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname, c.relkind::text,
   pg_relation_filenode(c.oid)::int8, i.indrelid::int8, CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END))
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
   WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND {ours} AND c.xmin::text::int8 >= {mark}),
 'constraints', (SELECT json_agg(json_build_array(k.oid::int8, k.conname, k.conrelid::int8, k.contype::text)) FROM pg_constraint k
   WHERE k.convalidated AND k.conrelid > 0 AND k.conparentid = 0 AND k.xmin::text::int8 >= {mark}),
 'columns', (SELECT json_agg(json_build_array(attrelid::int8, attnum)) FROM pg_attribute WHERE attisdropped AND xmin::text::int8 >= {mark}),
 'gone', (SELECT json_agg(o) FROM unnest('{{{live}}}'::int8[]) AS o WHERE NOT EXISTS (SELECT FROM pg_class WHERE pg_class.oid = o::oid))
)::text
"""
_COUNTS_OF_TRANSACTION = (
    "pg_stat_get_xact_numscans(c.oid) AS scans, pg_stat_get_xact_tuples_returned(c.oid) AS read,"
    " pg_stat_get_xact_tuples_updated(c.oid) AS updated, pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,"
    " pg_stat_get_xact_tuples_inserted(c.oid) AS inserted"
)
_COUNTS_OF_ALL = _COUNTS_OF_TRANSACTION.replace("_xact_", "_")
MARK = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 & 4294967295"
"""The transaction from which on rows of the catalogue count as changed."""


@dataclass(kw_only=True, slots=True)
class Snapshot:
    """What the server said at one moment."""

    autocommit: bool
    now: float
    wal: float
    locks: dict[int, set[str]]
    counts: dict[int, tuple[int, int, int, int, int]]
    """Scans, rows read, updated, deleted, inserted."""
    changed: dict[int, tuple[str, str, int | None, int | None, int]]
    constraints: dict[int, tuple[str, int, str]]
    columns: set[tuple[int, int]]
    gone: set[int]


@dataclass(kw_only=True, slots=True)
class Seen:
    """What one statement did, as numbers and OIDs: what the hazards are judged by."""

    sql: str
    actions: list[ir.Action]
    parts: int
    line: int | None
    in_transaction: bool
    transaction: int
    started: float
    seconds: float = 0.0
    executions: int = 1
    held_before: dict[int, set[str]] = field(default_factory=dict)
    held: dict[int, set[str]] = field(default_factory=dict)
    """When it had ended, or while it ran."""
    assumed: bool = False
    """In autocommit its locks are gone when it has ended; then they are those that PostgreSQL documents."""
    rewrites: set[int] = field(default_factory=set)
    emptied: set[int] = field(default_factory=set)
    index_rewrites: set[str] = field(default_factory=set)
    scans: set[int] = field(default_factory=set)
    read: dict[int, int] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    """Rows updated or deleted."""
    lost: dict[int, int] = field(default_factory=dict)
    """Rows deleted and not put back."""
    inserted: int = 0
    indexes_built: dict[str, int] = field(default_factory=dict)
    """Those that have contents, as one of a partitioned table has not."""
    constraints: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Those that hold for every row from now on: name, table, kind as in pg_constraint."""
    lost_columns: set[int] = field(default_factory=set)
    lost_tables: set[int] = field(default_factory=set)
    shortened: set[int] = field(default_factory=set)
    wal: int = 0
    problem: str = ""
    sqlstate: str = ""
    looked_at: bool = True

    @property
    def kind(self) -> str:
        """What is the same for each turn of a loop."""
        return shorten_sql(self.sql[:_TELLING])


class Watch:
    """The statements of one revision."""

    def __init__(self, relations: Relations, live: set[int], path: str, mark: int) -> None:
        """Watch for what happens to ``relations``, of which those in ``live`` existed at the base of the range."""
        self.relations, self.live, self._path, self._mark = relations, live, path, mark
        self._present = set(relations.by_oid)
        self.seen: list[Seen] = []
        self.commits = 0
        """How often the revision itself ended its transaction."""
        self.locks: list[tuple[Seen, int, str, float, float]] = []
        """Statement, OID, mode, from when until when."""
        self._clock = time.monotonic
        self.began = self._clock()
        self._open: dict[tuple[int, str], tuple[Seen, float]] = {}
        self._last: Snapshot | None = None
        self._unread: Seen | None = None
        self._transaction = 0
        self._lengths: dict[tuple[int, str], int] = {}
        self._connection: Connection | None = None

    # From begin to end

    def begin(self, connection: Connection) -> None:
        """Listen to ``connection``, inside the revision's transaction."""
        self._connection = connection
        self.began = self._clock()
        for name, listener in self._listeners():
            event.listen(connection, name, listener)

    def end(self) -> None:
        """Look at what was left, and listen no more; the transaction is still open."""
        assert self._connection is not None
        for name, listener in self._listeners():
            event.remove(self._connection, name, listener)
        self._read_rest()

    def committed(self) -> None:
        """Note that the revision's transaction has ended, and its locks with it."""
        self._release(self._clock())

    def failed(self, problem: str, sqlstate: str) -> None:
        """Note that the last statement raised."""
        assert self._connection is not None
        for name, listener in self._listeners():
            if event.contains(self._connection, name, listener):
                event.remove(self._connection, name, listener)
        if self.seen and self.seen[-1].seconds == 0.0 and not self.seen[-1].looked_at:
            last = self.seen[-1]
            last.problem, last.sqlstate, last.seconds = problem, sqlstate, self._clock() - last.started
        self._release(self._clock())

    def _listeners(self) -> list[tuple[str, Any]]:
        return [
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("commit", self._before_commit),
            ("rollback", self._rolled_back),
        ]

    # Heard

    def _before(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        in_transaction = not self._is_autocommit()
        if self.seen and not self.seen[-1].looked_at:
            self.seen[-1].looked_at, self.seen[-1].problem = True, "failed, and the revision went on"
        parsed = lint_sql.parse(statement)
        work = Seen(
            sql=statement,
            actions=[action for each in parsed for action in each.actions],
            parts=len(parsed),
            line=self._line(),
            in_transaction=in_transaction,
            transaction=self._transaction,
            started=0.0,
            looked_at=False,
        )
        if not in_transaction:
            self._read_rest()
            self._transaction += 1
            self._release(self._clock())
        if not self._is_next_turn(work):
            self._read_rest()
            if not _SAYS_NOTHING.match(statement):
                if self._last is None or self._last.autocommit == in_transaction:
                    self._last = self._look()
                self._measure_texts(work)
        work.transaction = self._transaction
        if self._last is not None and in_transaction:
            work.held_before = {oid: set(modes) for oid, modes in self._last.locks.items()}
        work.started = self._clock()
        self.seen.append(work)

    def _after(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        work = self.seen[-1]
        work.seconds = self._clock() - work.started
        work.looked_at = True
        if self._is_next_turn(work, place=-2):
            # One record for all turns of a loop, looked at again when something else comes.
            self._unread = self.seen[-2]
            self._unread.executions += 1
            self._unread.seconds += work.seconds
            self.seen.pop()
        elif _SAYS_NOTHING.match(statement):
            pass
        elif work.in_transaction and len(self.seen) > _LOOKED_AT_CLOSELY:
            self._unread = work
        else:
            self._take_in(work, self._look())

    def _is_next_turn(self, work: Seen, *, place: int = -1) -> bool:
        """Tell whether ``work`` says the same as the statement before it, in the same transaction."""
        before = self.seen[place] if len(self.seen) >= -place else None
        return (
            before is not None
            and work.in_transaction
            and before.transaction == work.transaction
            and not before.problem
            and before.kind == work.kind
            and _is_query(work)
        )

    def _before_commit(self, _connection: Any) -> None:
        self._read_rest()
        if not self._is_autocommit() and not self._is_at("autocommit_block"):
            self.commits += 1
        self._next_transaction()

    def _rolled_back(self, _connection: Any) -> None:
        self._unread = None
        self._next_transaction()

    # Looked at

    def _read_rest(self) -> None:
        work, self._unread = self._unread, None
        if work is not None:
            self._take_in(work, self._look())

    def _next_transaction(self) -> None:
        self._transaction += 1
        self._release(self._clock())
        self._last = None

    def _release(self, now: float) -> None:
        for (oid, mode), (work, since) in self._open.items():
            self.locks.append((work, oid, mode, since, now))
        self._open.clear()

    def _look(self) -> Snapshot | None:
        """Ask; None where the transaction has failed and answers nothing more."""
        autocommit = self._is_autocommit()
        question = _SNAPSHOT.format(
            counts=_COUNTS_OF_ALL if autocommit else _COUNTS_OF_TRANSACTION,
            ours=OURS,
            mark=self._mark,
            live=",".join(str(oid) for oid in self._present),
        )
        try:
            if autocommit:
                self._flush_counts()
            found = json.loads(self._ask(question))
        except Exception:  # noqa: BLE001  any driver's; the revision meets the same error by itself
            return None
        locks: dict[int, set[str]] = {}
        for oid, mode in found["locks"] or ():
            locks.setdefault(oid, set()).add(mode)
        return Snapshot(
            autocommit=autocommit,
            now=found["now"],
            wal=found["wal"],
            locks={} if autocommit else locks,
            counts={oid: tuple(rest) for oid, *rest in found["counts"] or ()},
            changed={oid: tuple(rest) for oid, *rest in found["changed"] or ()},
            constraints={oid: tuple(rest) for oid, *rest in found["constraints"] or ()},
            columns={(oid, number) for oid, number in found["columns"] or ()},
            gone=set(found["gone"] or ()),
        )

    def _take_in(self, work: Seen, now: Snapshot | None) -> None:
        """Tell what a statement did from what the server said before and after."""
        before = self._last
        self._last = now
        if now is None or before is None:
            return
        if work.in_transaction and before.now != now.now:
            # It ended the transaction itself, by COMMIT in its text: what was held is gone.
            self.commits += 1
            self._transaction += 1
            self._release(self._clock())
            before.counts = {}
        work.wal += int(now.wal - before.wal)
        self._take_counts(work, before, now)
        self._take_files(work, now)
        work.lost_columns |= {
            oid
            for oid, number in now.columns - before.columns
            if oid in self._present and number <= self.relations.by_oid[oid].columns
        }
        work.lost_tables |= (now.gone - before.gone) & self._present
        for oid, (name, table, kind) in now.constraints.items():
            if oid not in before.constraints and table in self._present:
                work.constraints[name] = (table, kind)
        work.held = now.locks
        if not work.in_transaction:
            self._assume_locks(work)
        self._take_locks(work)
        self._compare_texts(work)

    def _take_counts(self, work: Seen, before: Snapshot, now: Snapshot) -> None:
        nothing = (0, 0, 0, 0, 0)
        for oid, counts in now.counts.items():
            old = before.counts.get(oid, nothing)
            scans, read, updated, deleted, inserted = (b - a for a, b in zip(old, counts, strict=True))
            work.inserted += max(inserted, 0)
            if oid not in self._present:
                continue
            if read > 0:
                work.read[oid] = work.read.get(oid, 0) + read
            if updated + deleted > 0:
                work.written[oid] = work.written.get(oid, 0) + updated + deleted
            if deleted - inserted:
                work.lost[oid] = work.lost.get(oid, 0) + deleted - inserted
            rows = self.relations.by_oid[oid].rows
            whole = read >= rows / 2 if rows else scans > 0 and not _is_query(work)
            if scans > 0 and whole:
                work.scans.add(oid)

    def _take_files(self, work: Seen, now: Snapshot) -> None:
        by_oid = self.relations.by_oid
        for oid, (name, kind, file, owner, size) in now.changed.items():
            known = by_oid.get(oid)
            if known is None:
                by_oid[oid] = Relation(name=name, kind=kind, file=file, owner=owner)
                if owner is not None and owner in self._present and kind == "i":
                    work.indexes_built[name] = owner
                continue
            if known.file != file:
                if known.owner in self._present:
                    work.index_rewrites.add(name)
                elif oid in self._present:
                    (work.rewrites if size or not known.rows else work.emptied).add(oid)
            known.name, known.file = name, file

    def _assume_locks(self, work: Seen) -> None:
        """Take the locks of a statement outside of a transaction from PostgreSQL's documentation: they are gone already."""
        from sage_migrate.lint.effects import effects_of
        from sage_migrate.lint.schema import Schema

        oids = {each.name: oid for oid, each in self.relations.by_oid.items() if oid in self._present}
        owners = {
            each.name.rpartition(".")[2]: each.owner
            for each in self.relations.by_oid.values()
            if each.owner in self._present
        }
        for action in work.actions:
            for name, strength in effects_of(action, lambda _name: True, Schema()).locks.items():
                oid = oids.get(name) or owners.get(name.rpartition(".")[2])
                if oid is not None:
                    mode = strength.title().replace(" ", "") + "Lock"
                    work.held.setdefault(oid, set()).add(mode)
                    work.assumed = True

    def _take_locks(self, work: Seen) -> None:
        ended = work.started + work.seconds
        if not work.in_transaction:
            self.locks += [(work, oid, mode, work.started, ended) for oid, modes in work.held.items() for mode in modes]
            return
        held = {(oid, mode) for oid, modes in work.held.items() for mode in modes}
        for key in [key for key in self._open if key not in held]:
            owner, since = self._open.pop(key)
            self.locks.append((owner, *key, since, ended))
        for key in held:
            self._open.setdefault(key, (work, work.started))

    # Characters that are cut

    def _measure_texts(self, work: Seen) -> None:
        """Count the characters of columns whose type is about to change."""
        self._lengths = {}
        if not work.in_transaction or any(isinstance(each, ir.NotUnderstood) for each in work.actions):
            return
        oids = {each.name: oid for oid, each in self.relations.by_oid.items() if oid in self._present}
        for action in work.actions:
            if isinstance(action, ir.AlterType) and (oid := oids.get(action.table)) is not None:
                self._lengths[oid, action.column] = self._characters(oid, action.column)
        if self._lengths:
            self._last = self._look()  # counting was a scan of ours

    def _compare_texts(self, work: Seen) -> None:
        for (oid, column), length in self._lengths.items():
            if 0 <= self._characters(oid, column) < length:
                work.shortened.add(oid)
        if self._lengths:
            self._last = self._look()
        self._lengths = {}

    def _characters(self, oid: int, column: str) -> int:
        """Return how long the texts of a column are together, -1 where that cannot be told."""
        number = self._ask(
            f"SELECT coalesce((SELECT attnum FROM pg_attribute WHERE attrelid = {oid} AND NOT attisdropped AND attname = '{_escaped(column)}'), 0)::text"  # noqa: S608
        )
        if number == "0":
            return -1
        name = self._ask(f"SELECT {oid}::regclass::text")
        quoted = column.replace('"', '""')
        return int(self._ask(f'SELECT coalesce(sum(length("{quoted}"::text)), 0)::text FROM {name}'))  # noqa: S608

    # Asked

    def _is_autocommit(self) -> bool:
        assert self._connection is not None
        return bool(getattr(self._connection.connection, "autocommit", False))

    def _flush_counts(self) -> None:
        assert self._connection is not None
        info = getattr(self._connection.dialect, "server_version_info", None) or (0,)
        if info >= (15,):
            self._ask("SELECT pg_stat_force_next_flush()::text")

    def _ask(self, sql: str) -> str:
        """Ask below SQLAlchemy, whose events would take the question for the revision's own."""
        assert self._connection is not None
        cursor = self._connection.connection.cursor()
        try:
            cursor.execute(sql)
            return str(cursor.fetchall()[0][0])
        finally:
            cursor.close()

    def _line(self) -> int | None:
        """Return the line of the revision's file that is at work."""
        return next((frame.f_lineno for frame in _frames() if frame.f_code.co_filename == self._path), None)

    def _is_at(self, function: str) -> bool:
        """Tell whether a function of that name is at work."""
        return any(frame.f_code.co_name == function for frame in _frames())

    # Told

    def statements(self) -> tuple[Statement, ...]:
        """Return what was seen, with names for OIDs."""
        return tuple(self._statement(work) for work in self.seen)

    def _statement(self, work: Seen) -> Statement:
        by_oid = self.relations.by_oid

        def names(oids: Any) -> tuple[str, ...]:
            return tuple(sorted(by_oid[oid].name for oid in oids if oid in by_oid))

        held = {oid: modes for oid, modes in work.held.items() if oid in self._present}
        strong = [oid for oid, modes in held.items() if modes & set(STRONG)]
        return Statement(
            sql=work.sql.strip(),
            line=work.line,
            started_seconds=work.started - self.began,
            duration_seconds=work.seconds,
            executions=work.executions,
            in_transaction=work.in_transaction,
            locks=tuple(self._locks_of(work)),
            rewrites=names(work.rewrites),
            index_rewrites=tuple(sorted(work.index_rewrites)),
            scans=names(work.scans),
            indexes_built=tuple(sorted(work.indexes_built)),
            constraints_validated=tuple(sorted(work.constraints)),
            rows_written={by_oid[oid].name: count for oid, count in work.written.items()},
            exclusively_held=names(
                oid
                for oid in self._present
                if _ACCESS_EXCLUSIVE in work.held.get(oid, ()) or _ACCESS_EXCLUSIVE in work.held_before.get(oid, ())
            ),
            locked_together=names(strong) if len(strong) > 1 else (),
            wal_bytes=work.wal,
            problem=work.problem,
        )

    def _locks_of(self, work: Seen) -> list[HeldLock]:
        found = []
        for owner, oid, mode, since, until in self.locks:
            relation = self.relations.by_oid.get(oid)
            if owner is work and relation is not None and oid in self._present:
                table = self.relations.by_oid.get(relation.owner or 0)
                found.append(
                    HeldLock(
                        relation=relation.name,
                        mode=mode,
                        taken_seconds=since - self.began,
                        held_seconds=until - since,
                        table=table.name if table else None,
                    )
                )
        return sorted(found, key=lambda lock: (lock.relation, lock.mode))


def _is_query(work: Seen) -> bool:
    return all(isinstance(each, (ir.Update, ir.Delete, ir.Insert, ir.Select)) for each in work.actions)


def _escaped(text: str) -> str:
    return text.replace("'", "''")


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001  the only way to see who sent a statement
    while frame is not None:
        yield frame
        frame = frame.f_back
