"""Run a labelled revision on a real server, with rows in the tables, and tell which hazards it shows."""
# ruff: noqa: E501  SQL

import contextlib
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from labelled_revisions import CORPUS, LabelledRevision
from sage_migrate.scratch_server import ScratchServer

_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
_LIVE = "n.nspname = 'public' AND c.relkind IN ('r', 'p', 'm')"
_TEMPLATE = "corpus"
_ROLE = "application"
# How much of a table is "work in proportion to it".
_HALF = 0.5


@dataclass
class Observation:
    """What the server showed."""

    hazards: set[str] = field(default_factory=set)
    error: str = ""
    statements: list[str] = field(default_factory=list)


def make_template(server: ScratchServer) -> None:
    """Make the database that every revision starts from, and the role that the old release has."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {_ROLE} LOGIN".encode())
        connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    with psycopg.connect(server.url(_TEMPLATE), autocommit=True) as connection:
        for file in ("schema.sql", "rows.sql"):
            connection.execute((CORPUS / file).read_bytes())
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {_ROLE}".encode())
            connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {_ROLE}".encode())
        connection.execute(f"GRANT ALL ON SCHEMA public TO {_ROLE}".encode())
        connection.execute(b"ANALYZE")
    broken = list(_say_again(server.url(_TEMPLATE, user=_ROLE)))
    assert not broken, broken


def observe(server: ScratchServer, case: LabelledRevision) -> Observation:
    """Apply ``case`` to a copy of the template, as Alembic does with a transaction for each revision."""
    name = "corpus_run"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())
    engine = sqlalchemy.create_engine(
        server.url(name, driver="psycopg"), poolclass=sqlalchemy.NullPool, connect_args={"prepare_threshold": None}
    )
    seen = Observation()
    with engine.connect() as connection:
        watch = _Watch(connection, seen)
        connection.rollback()
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        module = _load(case)
        try:
            with Operations.context(context), context.begin_transaction(_per_migration=True), watch:
                module.upgrade()
                watch.finish_transaction()
        except sqlalchemy.exc.DBAPIError as error:
            state = getattr(error.orig, "sqlstate", "")
            seen.error = f"{state} {str(error.orig).splitlines()[0]}"
            if state in ("25001", "55P04"):
                seen.hazards.add("concurrently_in_transaction")
            elif state == "23502":  # the rows' fate is that of what old code inserts
                seen.hazards.add("old_code_breaks")
    if not seen.error:
        _compare(server, name, seen)
    engine.dispose()
    return seen


class _Watch:
    """Listens to a connection's statements and asks the server after each what it holds and did."""

    def __init__(self, connection: sqlalchemy.Connection, seen: Observation) -> None:
        self.connection, self.seen = connection, seen
        self.cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        self.rows = {
            oid: (name, int(n))
            for oid, name, n in self._query(
                "SELECT c.oid, c.relname, greatest(c.reltuples, (SELECT sum(s.reltuples) FROM pg_inherits i JOIN pg_class s"
                f" ON s.oid = i.inhrelid WHERE i.inhparent = c.oid), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_LIVE}"
            )
        }
        self.children = dict(self._query("SELECT inhrelid, inhparent FROM pg_inherits"))
        self._reset()

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.cursor.execute(sql.encode()).fetchall()
        return rows

    def _reset(self) -> None:
        self.locked: dict[int, set[str]] = {}
        self.lockers = 0
        self.files: dict[int, Any] = {}
        self.counts: dict[int, tuple[int, int]] = {}
        self.written: dict[int, int] = {}
        self.inserted = 0

    def __enter__(self) -> None:
        sqlalchemy.event.listen(self.connection, "before_cursor_execute", self.before)
        sqlalchemy.event.listen(self.connection, "after_cursor_execute", self.after)
        sqlalchemy.event.listen(self.connection, "commit", self._committed)

    def __exit__(self, *_: object) -> None:
        sqlalchemy.event.remove(self.connection, "before_cursor_execute", self.before)
        sqlalchemy.event.remove(self.connection, "after_cursor_execute", self.after)
        sqlalchemy.event.remove(self.connection, "commit", self._committed)

    def _committed(self, _connection: object) -> None:
        self.finish_transaction()

    def finish_transaction(self) -> None:
        for oid, number in self.written.items():
            if oid in self.rows and number >= _HALF * self.rows[oid][1] > 0:
                self.seen.hazards.add("unbounded_backfill")
        if self.inserted >= 250:  # half of the smallest table that is copied
            self.seen.hazards.add("unbounded_backfill")
        self._reset()

    def before(self, *_: object) -> None:
        autocommit = bool(self.cursor.connection.autocommit)
        if autocommit and self.files:
            self._reset()
        self.autocommit = autocommit
        self.files = self._files()
        self.totals = self._totals()

    def _files(self) -> dict[int, Any]:
        return {  # noqa: C416
            o: f
            for o, f in self._query(
                "SELECT oid, pg_relation_filenode(oid) FROM pg_class WHERE relkind IN ('r', 'm', 'p')"
            )
        }

    def _totals(self) -> dict[int, tuple[int, ...]]:
        """Return scans and writes so far: of this transaction, or (autocommit) of all flushed ones."""
        if self.autocommit:
            self._query("SELECT pg_stat_force_next_flush()")
        view = "pg_stat_all_tables" if self.autocommit else "pg_stat_xact_all_tables"
        return {
            row[0]: tuple(row[1:])
            for row in self._query(
                f"SELECT relid, seq_tup_read, n_tup_upd + n_tup_del, n_tup_ins FROM {view} WHERE schemaname = 'public'"
            )
        }

    def after(  # noqa: C901, PLR0912  one reading of the server's state
        self, _c: object, _cursor: object, statement: str, *_: object
    ) -> None:
        held: dict[int, set[str]] = {}
        for oid, mode in self._query(
            "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL AND granted"
        ):
            if oid in self.rows:
                held.setdefault(oid, set()).add(mode)
        if self.autocommit:
            held = self._known_autocommit_locks(statement)
        strong = {oid: {m for m in modes if m in _STRONG} for oid, modes in held.items()}
        strong = {oid: modes for oid, modes in strong.items() if modes}
        new = {oid for oid in strong if oid not in self.locked}
        parents = {self.children.get(oid, oid) for oid in strong}
        if any(modes - self.locked.get(oid, set()) for oid, modes in strong.items()):
            before = {self.children.get(oid, oid) for oid in self.locked}
            if before and {self.children.get(oid, oid) for oid in new} - before and len(parents) > 1:
                self.seen.hazards.add("multi_lock_transaction")
        self.locked = {oid: modes | self.locked.get(oid, set()) for oid, modes in strong.items()}
        work = set()
        now, files = self._totals(), self._files()
        for oid, (_name, rows) in self.rows.items():
            was, is_ = self.totals.get(oid, (0, 0, 0)), now.get(oid, (0, 0, 0))
            read, changed, _inserted = (b - a for a, b in zip(was, is_, strict=True))
            if rows and (read >= _HALF * rows or changed >= _HALF * rows):
                work.add(oid)
            if self.files.get(oid) != files.get(oid, self.files.get(oid)) and not statement.lstrip().upper().startswith(
                ("TRUNCATE", "DROP")
            ):
                work.add(oid)
            self.written[oid] = self.written.get(oid, 0) + changed
        # What is copied out of a table lands elsewhere; the rows of a table that is made by the statement count too.
        if statement.lstrip().upper().startswith(("INSERT", "CREATE TABLE", "WITH")) and work:
            self.inserted += sum(n[2] - self.totals.get(o, (0, 0, 0))[2] for o, n in now.items())
        modes = set().union(*strong.values()) if strong else set()
        if work and "AccessExclusiveLock" in modes:
            self.seen.hazards.add("access_exclusive_long")
        # ADD UNIQUE takes SHARE for its index beside ACCESS EXCLUSIVE: the stronger one is what counts.
        builds_index = (
            statement.lstrip().upper().startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))
            or "FOREIGN KEY" in statement.upper()
        )
        weaker = [
            m
            for m in strong.values()
            if m & {"ShareLock", "ShareRowExclusiveLock"} and (builds_index or "AccessExclusiveLock" not in m)
        ]
        if work and weaker:
            self.seen.hazards.add("blocks_writes_long")
            checks_key = "FOREIGN KEY" in statement.upper() or "VALIDATE" in statement.upper()
            if checks_key and len([o for o, m in strong.items() if m & {"ShareRowExclusiveLock"}]) > 1:
                self.seen.hazards.add("fk_two_table_lock")
        self.seen.statements.append(
            f"{statement.strip()[:100]!r} strong={ {self.rows[o][0]: sorted(m) for o, m in strong.items()} } work={[self.rows[o][0] for o in work]}"
        )
        if self.autocommit:
            self.finish_transaction()

    def _known_autocommit_locks(self, statement: str) -> dict[int, set[str]]:
        """Outside of a transaction the locks are gone when the statement ends: run it once more in one where possible."""
        oids = {name: oid for oid, (name, _rows) in self.rows.items()}
        text = statement.upper()
        if "CONCURRENTLY" in text:
            return {}
        found = {oid for name, oid in oids.items() if name in statement}
        if text.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX")):
            return {oid: {"ShareLock"} for oid in found}
        if text.startswith("VACUUM") and "FULL" in text:
            return {oid: {"AccessExclusiveLock"} for oid in found}
        return {}


def _load(case: LabelledRevision) -> types.ModuleType:
    sqlmodel = types.ModuleType("sqlmodel")
    sqlmodel.sql = types.SimpleNamespace(sqltypes=types.SimpleNamespace(AutoString=sqlalchemy.String))  # type: ignore[attr-defined]
    sys.modules.setdefault("sqlmodel", sqlmodel)
    module = types.ModuleType(case.name)
    exec(compile(case.source, case.name, "exec"), module.__dict__)
    return module


def _compare(server: ScratchServer, name: str, seen: Observation) -> None:
    """Look for what is gone, and say again what the old release says."""
    with psycopg.connect(server.url(_TEMPLATE)) as before, psycopg.connect(server.url(name)) as after:
        if _columns(before) - _columns(after) or _shortened(before, after):
            seen.hazards.add("data_loss")
        for (table,) in before.execute(
            f"SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_LIVE} AND c.relkind <> 'm'".encode()
        ).fetchall():
            counts = []
            for connection in (before, after):
                with contextlib.suppress(psycopg.errors.UndefinedTable):
                    counts.append(connection.execute(f'SELECT count(*) FROM "{table}"'.encode()).fetchone()[0])  # type: ignore[index]
                connection.rollback()
            if len(counts) == 2 and counts[1] <= counts[0] - 2:
                seen.hazards.add("data_loss")
    for statement, problem in _say_again(server.url(name, user=_ROLE)):
        seen.hazards.add("old_code_breaks")
        seen.statements.append(f"old code: {statement[:60]}: {problem}")


def _say_again(url: str) -> Iterator[tuple[str, str]]:
    """Yield what of the old release's statements fails, or touches nothing."""
    with psycopg.connect(url) as connection:
        for statement in (CORPUS / "old_code.sql").read_text().split(";\n"):
            if not statement.strip():
                continue
            try:
                problem = "" if connection.execute(statement.encode()).rowcount > 0 else "touches nothing"
            except psycopg.Error as error:
                problem = str(error).splitlines()[0]
            connection.rollback()
            if problem:
                yield statement.strip().splitlines()[-1], problem


def _shortened(before: psycopg.Connection[Any], after: psycopg.Connection[Any]) -> bool:
    """Tell whether a column whose type changed holds fewer characters than before."""
    types = (
        "SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
        + _LIVE
        + " AND a.attnum > 0 AND NOT a.attisdropped"
    )
    was, now = ({(t, c): kind for t, c, kind in each.execute(types.encode()).fetchall()} for each in (before, after))
    for (table, column), kind in was.items():
        if now.get((table, column), kind) != kind:
            size = f'SELECT coalesce(sum(length("{column}"::text)), 0) FROM {table}'.encode()
            if after.execute(size).fetchone()[0] < before.execute(size).fetchone()[0]:  # type: ignore[index]
                return True
    return False


def _columns(connection: psycopg.Connection[Any]) -> set[Any]:
    return set(
        connection.execute(
            b"SELECT c.oid, a.attnum FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
        ).fetchall()
    )
