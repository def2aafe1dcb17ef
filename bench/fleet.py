"""A fleet of tenants beside a loop of bare Alembic, and beside psql: ``python -m bench.fleet``; ``--check`` fails where a bound is missed.

All apply the same three revisions to schemas of one server. A full run writes docs/bench/fleet.md. Of the loop, of which every
round costs the same, a sample is run; its time for all is in proportion. Wall time is that of the whole process, Python's
start included; CPU is the client's and the server's.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sage_migrate.scratch_server import ScratchServer, scratch_server

from bench.circumstances import describe_machine

RESULTS = Path(__file__).parent.parent / "docs" / "bench" / "fleet.md"
_BINARIES = Path(sys.executable).parent
_INI = "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = {url}\n"
# The stock env.py, for the loop with the three lines of Alembic's cookbook for a schema per tenant.
_ENV = """
from alembic import context
from sqlalchemy import engine_from_config, pool, text

def run(**options):
    context.configure(**options)
    with context.begin_transaction():
        context.run_migrations()

def run_online():
    engine = engine_from_config(context.config.get_section("alembic"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        tenant = context.get_x_argument(as_dictionary=True).get("tenant")
        if tenant:
            connection.execute(text(f'SET search_path TO "{tenant}"'))
            connection.commit()
            connection.dialect.default_schema_name = tenant
        run(connection=connection)

if context.is_offline_mode():
    run(url=context.config.get_main_option("sqlalchemy.url"), transaction_per_migration=True)
else:
    run_online()
"""
_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}

def upgrade():
{body}
"""
_REVISIONS = (
    (
        "a1",
        "    op.create_table('orders', sa.Column('id', sa.BigInteger, primary_key=True), sa.Column('customer', sa.Text))",
    ),
    (
        "b2",
        "    op.add_column('orders', sa.Column('note', sa.Text))\n    op.create_index('orders_customer', 'orders', ['customer'])",
    ),
    (
        "c3",
        """    op.create_table('items', sa.Column('id', sa.BigInteger, primary_key=True),
        sa.Column('order_id', sa.BigInteger, sa.ForeignKey('orders.id'), nullable=False))""",
    ),
)
# What a fleet would cost without the gate: Alembic's own classes on one connection, as its cookbook sets the schema.
_IN_PROCESS = """
import os, sys
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

config = Config("alembic.ini")
script = ScriptDirectory.from_config(config)
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    for tenant in sys.argv[1:]:
        connection.execute(text(f'SET search_path TO "{tenant}"'))
        connection.commit()
        connection.dialect.default_schema_name = tenant
        with EnvironmentContext(config, script, fn=lambda heads, _: script._upgrade_revs("head", heads)) as environment:
            environment.configure(connection=connection, transaction_per_migration=True)
            with environment.begin_transaction():
                environment.run_migrations()
"""
_LOOP, _PARALLEL, _ALEMBIC, _PSQL, _FLEET = "shell loop", "loop on two cores", "Alembic in one process", "psql", "fleet"
_SLOWEST = {_LOOP: 15.0, _PARALLEL: 4.0}
# A server process that ends is counted while it runs, and by its parent a moment later.
_REAP_SECONDS = 0.5
_PSQL_BOUND, _NO_OP_SECONDS, _MEMORY_BOUND, _LINEAR_BOUND = 2.0, 5.0, 1.15, 1.25


@dataclass(frozen=True, kw_only=True, order=True)
class Run:
    """What one contender took for so many tenants, as if it had done all of them."""

    seconds: float
    tenants: int
    cpu_seconds: float
    megabytes: float = 0.0


class Bench:
    """One server, one project, and a database of fresh schemas for each measurement.

    None is dropped: for minutes after, ext4 is slow to make files, which is half of what a server does for a tenant.
    """

    def __init__(self, server: ScratchServer, directory: Path) -> None:
        """Write the project."""
        self.server, self.directory = server, directory
        self._databases = 0
        versions = directory / "migrations" / "versions"
        versions.mkdir(parents=True)
        (directory / "migrations" / "env.py").write_text(_ENV)
        down: str | None = None
        for revision, body in _REVISIONS:
            (versions / f"{revision}.py").write_text(_REVISION.format(revision=revision, down=down, body=body))
            down = revision

    def make_database(self, tenants: int) -> str:
        """Return the URL of a database with so many empty schemas."""
        self._databases += 1
        name = f"fleet_{self._databases}"
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(self.server.url(name)) as connection:
            for number in range(tenants):
                connection.execute(f"CREATE SCHEMA {_tenant(number)}".encode())
        url = self.server.url(name, driver="psycopg2")
        (self.directory / "alembic.ini").write_text(_INI.format(url=url))
        return url

    def fleet(self, url: str, tenants: int, *options: str) -> Run:
        """Upgrade all of them."""
        command: Sequence[str | Path] = (
            _BINARIES / "sage-migrate",
            "fleet",
            "upgrade",
            "--schemas",
            "tenant\\_%",
            "--deadline",
            "60min",
            *options,
        )
        return self._time(tenants, tenants, lambda: self._run(command, url))

    def loop(self, url: str, tenants: int, sample: int, *, at_a_time: int) -> Run:
        """Run ``alembic -x tenant=… upgrade head`` for a sample of them, one after the other or more at a time."""

        def one(number: int) -> float:
            return self._run((_BINARIES / "alembic", "-x", f"tenant={_tenant(number)}", "upgrade", "head"), url)

        def work() -> float:
            with ThreadPoolExecutor(at_a_time) as threads:
                return max(threads.map(one, range(sample)))

        return self._time(tenants, sample, work)

    def in_process(self, url: str, tenants: int) -> Run:
        """Upgrade all of them by Alembic in one process, without the gate."""
        command: Sequence[str | Path] = (sys.executable, "-c", _IN_PROCESS, *map(_tenant, range(tenants)))
        return self._time(tenants, tenants, lambda: self._run(command, url))

    def psql(self, url: str, tenants: int) -> Run:
        """Replay what Alembic prints for ``upgrade head --sql``, a transaction a revision, over one connection."""
        command: Sequence[str | Path] = (_BINARIES / "alembic", "upgrade", "head", "--sql")
        script = subprocess.run(
            command, cwd=self.directory, env=_environment(url), check=True, capture_output=True, text=True
        ).stdout
        file = self.directory / "replay.sql"
        with file.open("w") as writing:
            for number in range(tenants):
                writing.write(f"SET search_path TO {_tenant(number)};\n{script}\n")
        found = Path(shutil.which("psql") or self.server.bin_directory / "psql")
        plain = url.replace("+psycopg2", "")
        command = (found, "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-f", file, plain)
        return self._time(tenants, tenants, lambda: self._run(command, url))

    def check(self, url: str, tenants: int) -> None:
        """Fail where not every one of the first tenants is at head."""
        union = " UNION ALL ".join(
            f"SELECT version_num FROM {_tenant(number)}.alembic_version" for number in range(tenants)
        )
        with psycopg.connect(url.replace("+psycopg2", "")) as connection:
            found = [row[0] for row in connection.execute(union.encode())]
        assert found == [_REVISIONS[-1][0]] * tenants, f"{len(found)} of {tenants} at head"

    def _run(self, command: Sequence[str | Path], url: str) -> float:
        """Return the most megabytes that a process of the command held."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, cwd=self.directory, env=_environment(url), stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                raise SystemExit(said.read().decode()[-3000:])
        return usage.ru_maxrss / 1024

    def _time(self, tenants: int, sample: int, work: Callable[[], float]) -> Run:
        cpu, started = _cpu_seconds(), time.monotonic()
        megabytes = work()
        seconds = time.monotonic() - started
        time.sleep(_REAP_SECONDS)
        share = tenants / sample
        return Run(
            tenants=tenants,
            seconds=seconds * share,
            cpu_seconds=(_cpu_seconds() - cpu) * share,
            megabytes=megabytes,
        )


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20, help="rounds of the loop that are run")
    parser.add_argument("--rounds", type=int, default=3, help="of psql and the fleet, in turn; the median counts")
    parser.add_argument("--many", type=int, default=10_000, help="tenants to be linear to; 0 leaves that out")
    parser.add_argument("--concurrency", default="4", help="of the fleet")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is missed")
    parser.add_argument("--print", action="store_true", help="write no page")
    arguments = parser.parse_args()
    tenants, few = arguments.tenants, arguments.tenants // 10
    concurrency = ("--concurrency", arguments.concurrency)
    with scratch_server() as server, tempfile.TemporaryDirectory(prefix="sage-fleet-") as scratch:
        circumstances = f"{describe_machine(server, 'bench.fleet')}."
        bench = Bench(server, Path(scratch))
        runs: dict[str, Run] = {}
        loops: Mapping[str, Callable[[str], Run]] = {
            _LOOP: lambda url: bench.loop(url, tenants, arguments.sample, at_a_time=1),
            _PARALLEL: lambda url: bench.loop(url, tenants, arguments.sample, at_a_time=2),
        }
        for name, work in loops.items():
            url = bench.make_database(tenants)
            runs[name] = work(url)
            bench.check(url, arguments.sample)
            print(name, runs[name], flush=True)
        turns: dict[str, list[Run]] = {_ALEMBIC: [], _PSQL: [], _FLEET: []}
        contenders: Mapping[str, Callable[[str], Run]] = {
            _ALEMBIC: lambda url: bench.in_process(url, tenants),
            _PSQL: lambda url: bench.psql(url, tenants),
            _FLEET: lambda url: bench.fleet(url, tenants, *concurrency),
        }
        for _ in range(arguments.rounds):
            for name, work in contenders.items():
                url = bench.make_database(tenants)
                turns[name].append(work(url))
                bench.check(url, tenants)
                print(name, turns[name][-1], flush=True)
        for name, each in turns.items():
            runs[name] = statistics.median_low(each)
        no_op = bench.fleet(url, tenants, *concurrency)
        print("no-op", no_op, flush=True)
        url = bench.make_database(few)
        runs["few"] = bench.fleet(url, few, *concurrency)
        print("few", runs["few"], flush=True)
        if arguments.many:
            url = bench.make_database(arguments.many)
            runs["many"] = bench.fleet(url, arguments.many, *concurrency)
            runs["many, nothing to do"] = bench.fleet(url, arguments.many, *concurrency)
            print("many", runs["many"], runs["many, nothing to do"], flush=True)
    missed = _missed(runs, no_op)
    if not arguments.print:
        RESULTS.write_text(_page(runs, no_op, circumstances, arguments.sample, missed))
    print(f"Missed: {'; '.join(missed)}." if missed else "The fleet kept every bound.")
    return 1 if missed and arguments.check else 0


def _tenant(number: int) -> str:
    return f"tenant_{number:05}"


def _environment(url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "DATABASE_URL": url, "SAGE_MIGRATE_LOG_FORMAT": "json"}


def _cpu_seconds() -> float:
    """Return what all processes below this one, ended or not, have taken: clients and the server."""
    ticks = os.sysconf("SC_CLK_TCK")
    total, parents = 0.0, {os.getpid()}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            fields = (path / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) in parents or int(path.name) in parents:
            parents.add(int(path.name))
            own = fields[11:15] if int(path.name) != os.getpid() else fields[13:15]
            total += sum(map(int, own)) / ticks
    return total


def _missed(runs: Mapping[str, Run], no_op: Run) -> list[str]:
    fleet = runs[_FLEET]
    missed = [name for name, bound in _SLOWEST.items() if runs[name].seconds / fleet.seconds < bound]
    missed += [_PSQL] * (fleet.seconds / runs[_PSQL].seconds > _PSQL_BOUND)
    missed += ["nothing to do"] * (no_op.seconds > _NO_OP_SECONDS)
    missed += ["memory"] * (fleet.megabytes / runs["few"].megabytes > _MEMORY_BOUND)
    if "many" in runs:
        missed += ["linear"] * (_each(runs["many"]) / _each(fleet) > _LINEAR_BOUND)
    return missed


def _each(run: Run) -> float:
    return 1000 * run.seconds / run.tenants


def _page(runs: Mapping[str, Run], no_op: Run, circumstances: str, sample: int, missed: Sequence[str]) -> str:
    fleet = runs[_FLEET]
    rows = [
        (
            f"`alembic -x tenant=… upgrade head` in a loop (a sample of {sample})",
            runs[_LOOP],
            f"at least {_SLOWEST[_LOOP]:g}",
        ),
        (f"the same, two at a time (a sample of {sample})", runs[_PARALLEL], f"at least {_SLOWEST[_PARALLEL]:g}"),
        ("Alembic in one process, without the gate", runs[_ALEMBIC], ""),
        ("psql, the same SQL over one connection", runs[_PSQL], f"at least {1 / _PSQL_BOUND:g}"),
        ("`sage-migrate fleet upgrade`", fleet, ""),
    ]
    table = "\n".join(
        f"| {title} | {run.seconds:.1f} | {_each(run):.1f} | {run.cpu_seconds:.1f} | {run.seconds / fleet.seconds:.1f} | {bound} |"
        for title, run, bound in rows
    )
    sizes = [runs["few"], fleet, *([runs["many"]] if "many" in runs else [])]
    growth = "\n".join(
        f"| {run.tenants:,} | {run.seconds:.1f} | {_each(run):.1f} | {run.megabytes:.0f} |" for run in sizes
    )
    many = runs.get("many, nothing to do")
    more = f" Of {many.tenants:,}: {many.seconds:.1f} s." if many else ""
    return f"""<!-- Made by bench/fleet.py: measure again instead of editing. -->

# A fleet of tenants

{fleet.tenants:,} schemas of one server, each without a table at first, and three revisions: a table; a column and an index; a second
table with a foreign key. {circumstances}

| | seconds | ms a tenant | s of CPU, the server's included | times the fleet's | bound |
|---|---:|---:|---:|---:|---|
{table}

Nothing to do in any of {no_op.tenants:,}: **{no_op.seconds:.1f} s**, Python's start included; bound {_NO_OP_SECONDS:g} s.{more}

| tenants | seconds | ms a tenant | MB that a process held at most |
|---:|---:|---:|---:|
{growth}

{f"**Missed: {', '.join(missed)}.**" if missed else "Every bound was kept."}

What is above psql is Alembic's: to run a revision's code and to make SQL of it takes more than to execute that SQL, in one process
without the gate too. The fleet does it in several processes at a time; it commits each revision of each tenant on its own, watches
it for stalls and verifies its version table. psql is stopped by the first tenant that is broken. The loop starts Python, reads the
history and connects for each tenant; the fleet does so once, then once for some thousand statements ([how](../fleet.md#how-it-is-done)).

```sh
TMPDIR=/dev/shm python -m bench.fleet       # writes this page; on ext4 psql and all take twice as long where files were deleted just before
python -m bench.fleet --tenants 100 --many 0 --print
python -m bench.fleet --check               # exit status 1 where a bound is missed
```
"""


if __name__ == "__main__":
    sys.exit(main())
