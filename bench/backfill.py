"""What slow work does to the live application: ``python -m bench.backfill [--rows 5000000]`` writes docs/bench/backfill.md.

One run, one after another on copies of one database: the UPDATE of the whole table by bare Alembic; the same as a declared backfill, in
turns with the application alone and beside a session that only computes, since what the machine gives changes within minutes; the
declared one killed at random moments until it is through; and a CREATE INDEX CONCURRENTLY as an online run, killed in its middle until
it is through, in turns with the application alone, and then by hand. The exit status is 1 when a bound is missed.
"""

import argparse
import contextlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
from sage_migrate.errors import TerminatedError
from sage_migrate.scratch_server import ScratchServer

from bench.circumstances import describe_machine
from bench.live_load import LiveLoad, Summary, summarize
from bench.load import Felt
from bench.migration_run import clean_environment, execute, fetch, wait_until
from bench.scenarios import SEED

_RESULTS = Path(__file__).parent.parent / "docs/bench/backfill.md"
_KILLS, _INDEX_KILLS = 20, 5
_TURN_SECONDS = 20
_PAUSE_SECONDS = 5
# What looks at the runner more often is felt as well, and not the runner's doing.
_PEEK_SECONDS = 1
_INI = "[alembic]\nscript_location = %(here)s\nsqlalchemy.url = {url}\n"
_ENV = """from alembic import context
from sqlalchemy import engine_from_config, pool

section = context.config.get_section(context.config.config_ini_section, {})
engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = """from alembic import op

revision = "b1"
down_revision = None
{declaration}

def upgrade() -> None:
    {body}
"""
_SET = "filled = coalesce(filled, 0) + 1"
_LEFT = "filled IS NULL"
_DECLARED = f'sage_migrate = {{"backfill": {{"table": "conversations", "set": "{_SET}", "where": "{_LEFT}"}}}}'
_BUILD = """with op.get_context().autocommit_block():
        op.create_index("by_title", "conversations", ["title", "id"], postgresql_concurrently=True, if_not_exists=True)"""
_BY_HAND = "CREATE INDEX CONCURRENTLY by_title ON conversations (title, id)"
_ONE_PROCESS = "SET max_parallel_maintenance_workers = 0"
_BUILDING = "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE datname = current_database()"
_INDEXES = """SELECT count(*) FILTER (WHERE indisvalid), count(*) FILTER (WHERE NOT indisvalid)
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname LIKE 'by_title%'"""
# A database that serves has its pages in memory, and the copy that was just made has none there.
_WARM = (
    "SELECT count(title) FROM conversations",
    "SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM conversations ORDER BY id OFFSET 0) AS by_key",
    "SET enable_seqscan = off; SELECT count(*) FROM (SELECT org_id FROM conversations ORDER BY org_id, created_at, id OFFSET 0) AS by_day",
)
_FILL_LOG = (
    "SELECT count(pg_logical_emit_message(false, 'bench', repeat('x', 1024 * 1024))) FROM generate_series(1, 4096)"
)
_UPDATE = f'op.execute("UPDATE conversations SET {_SET} WHERE {_LEFT}")'

_PAGE = """<!-- Made by bench/backfill.py: measure again instead of editing. -->

# Slow work beside the live application

A column of {rows} rows is set, in one UPDATE and as a [declared backfill](../backfills.md); an index of the same table is built by
an [online run](../online.md). {circumstances}.
The server has {buffers} of shared_buffers, a quarter of the machine's memory as PostgreSQL's documentation advises,
its log has the files that it needs (min_wal_size is max_wal_size, 4 GB), and each copy of the database is read once before it is measured.

The application alone, beside the computing session and beside the backfill were measured in turns of {turn} s, on one database, until the
backfill was through; beside the index and alone in the same way. What a session that computes and touches no table costs the application
is the machine's doing: the same cores serve the application, its database and that session. What the index costs that is built by hand
is PostgreSQL's: each COMMIT of the application waits until what the build has logged before it is written, too, so that the server
writes it more often as [advised](../online.md#the-online-run) (wal_writer_delay = 10ms, else 200ms) while the killed runs are measured.

{table}
{facts}

{bounds}

Ratios hold within this one run. What the application is and how its waits are counted: [bench/README.md](../../bench/README.md).
"""


def main() -> int:
    """Print the table; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    settings = {
        "max_wal_size": "4GB",
        "min_wal_size": "4GB",  # with what fills it below: a server that serves has its log's files, and does not fill new ones with zeros
        "shared_buffers": f"{psutil.virtual_memory().total // 4 // 2**20}MB",
    }
    with ScratchServer(settings=settings) as server, tempfile.TemporaryDirectory() as directory:
        execute(server.url(), "CREATE DATABASE template_of_all")
        execute(server.url("template_of_all"), SEED)
        execute(
            server.url("template_of_all"),
            # What is there has no value; what the application inserts meanwhile has.
            "ALTER TABLE conversations ADD filled int;"
            f"INSERT INTO conversations (org_id, title) SELECT id, 'filler' FROM organizations, generate_series(1, {rows // 10});"
            "ALTER TABLE conversations ALTER filled SET DEFAULT 1",
        )
        execute(server.url("template_of_all"), "VACUUM ANALYZE")
        execute(server.url(), _FILL_LOG)
        execute(server.url(), "CHECKPOINT")
        bench = Bench(server, Path(directory), rows)
        return bench.run()


class Bench:
    """The measurements, on one server."""

    def __init__(self, server: ScratchServer, directory: Path, rows: int) -> None:
        """Measure on ``server``."""
        self.server, self.directory, self.rows, self._last = server, directory, rows, ""

    def run(self) -> int:
        """Measure everything; return 1 where a bound is missed."""
        at_once, at_once_seconds = self._beside_load()
        turns, batched_seconds, memory = self._in_turns()
        alone, computing, batched = (turns[name] for name in ("alone", "computing", "batched"))
        kills, written = self._killed()
        indexes, built_seconds, index_kills, is_valid = self._built_although_killed()
        without, built, by_hand = (indexes[name] for name in ("alone", "online", "one process"))
        table = (
            "| | app's longest wait | app's p99 | failed | time | rows/s |\n|---|---:|---:|---:|---:|---:|\n"
            + self._row("application alone", alone)
            + self._row("beside a session that computes, and touches no table", computing)
            + self._row("one UPDATE (bare Alembic)", at_once, at_once_seconds)
            + self._row("declared backfill", batched, batched_seconds)
            + self._row("application alone, before and between the builds", without)
            + self._row(f"CREATE INDEX CONCURRENTLY, online, killed {index_kills} times", built, built_seconds)
            + self._row("online, at the default wal_writer_delay", indexes["default"])
            + self._row("by hand, at the default wal_writer_delay", indexes["by hand"])
            + self._row("by hand, at that and without parallel workers", by_hand)
        )
        facts = (
            f"The runner held {memory / 2**20:.0f} MiB at most. The backfill, killed {kills} times at random moments: {written}. The index "
            f"in the end: {'VALID, and no other is left' if is_valid else 'not VALID'}."
        )
        bounds = {
            f"p99 is {batched.p99_seconds / alone.p99_seconds:.2f} times the application's own (at most 1.3; beside the session that "
            f"computes it is {computing.p99_seconds / alone.p99_seconds:.2f} times)": batched.p99_seconds
            <= 1.3 * alone.p99_seconds,
            "no stall above 0.2 s": batched.maximum_stall_seconds <= 0.2,  # noqa: PLR2004
            f"throughput is {at_once_seconds / batched_seconds:.2f} times that of one UPDATE (at least 0.5)": at_once_seconds
            >= 0.5 * batched_seconds,
            "no failed request": batched.failed == 0,
            "every row written once": written == "every row set, none twice",
            f"beside the index p99 is {built.p99_seconds / without.p99_seconds:.2f} times the same (at most 1.3; by hand, without parallel "
            f"workers, it is {by_hand.p99_seconds / without.p99_seconds:.2f} times)": built.p99_seconds
            <= 1.3 * without.p99_seconds,
            "the index ends VALID, and no request failed": is_valid and built.failed == 0,
        }
        told = "\n".join(f"- {'met' if is_met else 'MISSED'}: {bound}" for bound, is_met in bounds.items())
        page = _PAGE.format(
            rows=f"{self.rows:,}",
            circumstances=describe_machine(self.server, f"bench.backfill --rows {self.rows}"),
            buffers=fetch(self.server.url(), "SHOW shared_buffers")[0][0],
            turn=_TURN_SECONDS,
            table=table,
            facts=facts,
            bounds=told,
        )
        _RESULTS.write_text(page)
        sys.stdout.write(page)
        return 0 if all(bounds.values()) else 1

    def _built_although_killed(self) -> tuple[dict[str, Summary], float, int, bool]:
        """Kill the online run while the index is built, until it is through; then build it by hand.

        Return what the application felt of each and in the pauses, how long the online runs took, how often they were killed,
        and whether a valid index, and no other, is what they left.
        """
        url, kills = self._database("built"), 0
        builds: list[tuple[float, float]] = []
        pauses: list[tuple[float, float]] = []
        others: dict[str, list[tuple[float, float]]] = {}
        self._set_for_all("wal_writer_delay", "'10ms'")
        with LiveLoad(url) as load:
            for _ in range(_INDEX_KILLS):
                pauses.append(self._pause(_PAUSE_SECONDS))
                process, began = self._start_building(url)
                time.sleep(random.uniform(0.1, 1))
                if process.poll() is None:
                    process.kill()
                    kills += 1
                builds.append((began, time.monotonic()))
                process.wait()
                wait_until(url, f"SELECT NOT ({_BUILDING})")  # the server notices within half a second
            pauses.append(self._pause(_PAUSE_SECONDS))
            process, began = self._start_building(url)
            last = process.wait()
            builds.append((began, time.monotonic()))
            ((valid, invalid),) = fetch(url, _INDEXES)
            self._set_for_all("wal_writer_delay", "DEFAULT")
            execute(url, "DROP INDEX CONCURRENTLY by_title")
            execute(url, "DELETE FROM alembic_version")
            pauses.append(self._pause(_PAUSE_SECONDS))
            process, began = self._start_building(url)
            process.wait()
            others["default"] = [(began, time.monotonic())]
            for name, setting in (("by hand", "RESET ALL"), ("one process", _ONE_PROCESS)):
                execute(url, "DROP INDEX CONCURRENTLY by_title")
                pauses.append(self._pause(_PAUSE_SECONDS))
                with psycopg.connect(url, autocommit=True) as session:
                    session.execute(setting)
                    began = time.monotonic()
                    session.execute(_BY_HAND)
                    others[name] = [(began, time.monotonic())]
        spans = {"alone": pauses, "online": builds, **others}
        return (
            {name: _felt_in(load.felt, each) for name, each in spans.items()},
            sum(end - began for began, end in builds),
            kills,
            (last, valid, invalid) == (0, 1, 0),
        )

    def _start_building(self, url: str) -> "tuple[subprocess.Popen[bytes], float]":
        """Start an online run; return it, and when the server began to build the index."""
        process = self._start("built", url, "sage_migrate", body=_BUILD)
        wait_until(url, _BUILDING)
        return process, time.monotonic()

    def _set_for_all(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        execute(self.server.url(), f"ALTER SYSTEM SET {name} = {value}")
        execute(self.server.url(), "SELECT pg_reload_conf()")

    def _in_turns(self) -> tuple[dict[str, Summary], float, int]:
        """Let the application be alone, beside a session that computes and beside the backfill, in turns until that is through.

        Return what it felt of each, how long the backfill's runs took together, and the most memory that one held.
        """
        url = self._database("batched")
        turns: dict[str, list[tuple[float, float]]] = {"alone": [], "computing": [], "batched": []}
        seconds, memory, status = 0.0, 0, -1
        with LiveLoad(url) as load:
            while status != 0:
                turns["alone"].append(self._pause(_TURN_SECONDS))
                turns["computing"].append(self._compute(url))
                began = time.monotonic()
                process = self._start("batched", url, "sage_migrate", declaration=_DECLARED)
                output = self.directory / "batched" / "output"
                while process.poll() is None and "backfill_started" not in output.read_text():
                    time.sleep(0.05)
                at_work = time.monotonic()
                # A pass that looks whether all is done begins anew when it is broken off: the last turn is as long as that takes.
                while process.poll() is None and (time.monotonic() < at_work + _TURN_SECONDS or self._is_set(output)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        memory = max(memory, psutil.Process(process.pid).memory_info().rss)
                    time.sleep(_PEEK_SECONDS)
                turns["batched"].append((at_work, time.monotonic()))
                process.send_signal(signal.SIGTERM)
                status = process.wait()
                seconds += time.monotonic() - began
                if status not in (0, TerminatedError.exit_status):
                    raise RuntimeError(output.read_text()[-2000:])
        return {name: _felt_in(load.felt, spans) for name, spans in turns.items()}, seconds, memory

    def _is_set(self, output: Path) -> bool:
        done = re.findall(r'"rows_done": (\d+)', output.read_text())
        return bool(done) and int(done[-1]) >= self.rows

    def _pause(self, seconds: float) -> tuple[float, float]:
        began = time.monotonic()
        time.sleep(seconds)
        return began, time.monotonic()

    def _compute(self, url: str) -> tuple[float, float]:
        """Keep a core busy, whoever would: no backfill can be felt less."""
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(f"SET statement_timeout = '{_TURN_SECONDS}s'")
            began = time.monotonic()
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                session.execute("DO 'BEGIN LOOP END LOOP; END'")
            return began, time.monotonic()

    def _row(self, title: str, felt: Summary, seconds: float | None = None) -> str:
        work = f"{seconds:.1f} s | {self.rows / seconds:,.0f}" if seconds else "|"
        return f"| {title} | {felt.maximum_stall_seconds:.3f} s | {felt.p99_seconds * 1000:.1f} ms | {felt.failed} | {work} |\n"

    def _beside_load(self) -> tuple[Summary, float]:
        """Return what the application feels of the UPDATE, and how long that takes."""
        url = self._database("at_once")
        with LiveLoad(url) as load:
            time.sleep(1)
            began = time.monotonic()
            status = self._start("at_once", url, "alembic", body=_UPDATE).wait()
            seconds = time.monotonic() - began
            time.sleep(1)
        if status:
            raise RuntimeError((self.directory / "at_once" / "output").read_text()[-2000:])
        return summarize(load.felt), seconds

    def _killed(self) -> tuple[int, str]:
        """Kill the run at random moments until it is through; return how often, and what became of the rows."""
        url, kills = self._database("killed"), 0
        for _ in range(_KILLS):
            process = self._start("killed", url, "sage_migrate", declaration=_DECLARED)
            time.sleep(random.uniform(0.8, 3))
            if process.poll() is None:
                process.kill()
                kills += 1
            process.wait()
        if self._start("killed", url, "sage_migrate", declaration=_DECLARED).wait():
            return kills, (self.directory / "killed" / "output").read_text()[-500:]
        ((once, others),) = fetch(
            url,
            "SELECT count(*) FILTER (WHERE filled = 1), count(*) FILTER (WHERE filled IS DISTINCT FROM 1) FROM conversations",
        )
        return (
            kills,
            "every row set, none twice" if once and not others else f"{others} rows are not what they should be",
        )

    def _database(self, name: str) -> str:
        """Make a copy of the template, and drop the one before: a disk in memory may hold all of this but once."""
        if self._last:
            execute(self.server.url(), f"DROP DATABASE {self._last} WITH (FORCE)")
        self._last = name
        execute(self.server.url(), f"CREATE DATABASE {name} TEMPLATE template_of_all STRATEGY file_copy")
        for statement in _WARM:
            execute(self.server.url(name), f"SET max_parallel_workers_per_gather = 0; {statement}")
        return self.server.url(name)

    def _start(
        self, name: str, url: str, tool: str, *, declaration: str = "", body: str = "pass"
    ) -> "subprocess.Popen[bytes]":
        directory = self.directory / name
        (directory / "versions").mkdir(parents=True, exist_ok=True)
        spelled = url.replace("postgresql://", "postgresql+psycopg://").replace("%", "%%")
        (directory / "alembic.ini").write_text(_INI.format(url=spelled))
        (directory / "env.py").write_text(_ENV)
        (directory / "versions" / "b1.py").write_text(_REVISION.format(declaration=declaration, body=body))
        command = ["upgrade", "head", *(["--online"] if tool == "sage_migrate" else [])]
        environment = clean_environment(DATABASE_URL=url) if tool == "sage_migrate" else clean_environment()
        with (directory / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", tool, *command],
                cwd=directory,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def _felt_in(felt: Felt, spans: list[tuple[float, float]]) -> Summary:
    """Return what was felt of the requests that were sent in ``spans``."""
    return summarize(
        replace(
            felt,
            requests=[each for each in felt.requests if any(began <= each[0] < end for began, end in spans)],
            failures=[each for each in felt.failures if any(began <= each[0] < end for began, end in spans)],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
