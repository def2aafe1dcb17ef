"""What the gate costs beside bare Alembic: ``python -m bench.speed``; ``--check`` fails where a bound is missed.

Both upgrade the same project, each in a process of its own, in turn (A B A B …), so that what else the machine does meets
both. A full run writes docs/bench/speed.md. Wall time is that of the whole process, memory the most that it ever held.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal

import psycopg
from packaging.requirements import Requirement
from sage_migrate.scratch_server import ScratchServer, scratch_server

from bench.circumstances import describe_machine

RESULTS = Path(__file__).parent.parent / "docs" / "bench" / "speed.md"
_BINARIES = Path(sys.executable).parent
_COMMANDS = {
    "bare": (str(_BINARIES / "alembic"), "upgrade", "head"),
    "each": (str(_BINARIES / "alembic"), "upgrade", "head"),
    "gate": (str(_BINARIES / "sage-migrate"), "upgrade"),
}
_INI = "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = {url}\n"
_ENVS = {
    "asyncpg": """
import asyncio, os
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config

def migrate(connection):
    context.configure(connection=connection, transaction_per_migration="COMMIT_EACH" in os.environ)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = async_engine_from_config(context.config.get_section("alembic"), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)

asyncio.run(main())
""",
    "psycopg2": """
import os
from alembic import context
from sqlalchemy import engine_from_config, pool

engine = engine_from_config(context.config.get_section("alembic"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration="COMMIT_EACH" in os.environ)
    with context.begin_transaction():
        context.run_migrations()
""",
}
_REVISION = """
from alembic import op

revision = "{revision}"
down_revision = {down!r}

def upgrade():
    op.execute("CREATE TABLE t_{revision} (id int)")
"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How many revisions there are, how many of them are pending, and what the gate may cost."""

    name: str
    revisions: int
    is_pending: bool
    bound: float
    rounds: int
    driver: str = "asyncpg"


_SCENARIOS = (
    Scenario(name="nothing to do, 1 revision", revisions=1, is_pending=False, bound=0.4, rounds=15),
    Scenario(name="nothing to do, 1,000 revisions", revisions=1000, is_pending=False, bound=0.3, rounds=9),
    Scenario(name="1 revision pending", revisions=1, is_pending=True, bound=1.0, rounds=15),
    Scenario(name="1,000 revisions pending", revisions=1000, is_pending=True, bound=1.15, rounds=5),
    Scenario(name="1 revision pending, psycopg2", revisions=1, is_pending=True, bound=1.0, rounds=15, driver="psycopg2"),
    Scenario(
        name="1,000 revisions pending, psycopg2", revisions=1000, is_pending=True, bound=1.15, rounds=5, driver="psycopg2"
    ),
)  # fmt: skip
_MEMORY_BOUND, _SIZE_BOUND = 1.1, 1.15


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    megabytes: float


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", help="the scenarios whose name holds it; nothing is written")
    parser.add_argument("--rounds", type=int, help="of each scenario, instead of its own number")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is missed")
    arguments = parser.parse_args()
    rows, missed = [], []
    with scratch_server() as server, tempfile.TemporaryDirectory(prefix="sage-speed-") as scratch:
        circumstances = describe_machine(server, "bench.speed") + "."
        for scenario in _SCENARIOS:
            if arguments.only and arguments.only not in scenario.name:
                continue
            scenario = replace(scenario, rounds=arguments.rounds or scenario.rounds)  # noqa: PLW2901
            runs = _measure(scenario, server, Path(scratch))
            wall, memory = _ratio(runs, "seconds"), _ratio(runs, "megabytes")
            rows.append(_row(scenario, runs, wall, memory))
            print(rows[-1], flush=True)
            missed += [scenario.name] * (wall > scenario.bound) + [f"{scenario.name}, memory"] * (
                memory > _MEMORY_BOUND
            )
    base, ours = _sizes()
    print(f"size: {base:.1f} MB, {ours:.1f} MB, {ours / base:.3f}")
    missed += ["size"] * (ours / base > _SIZE_BOUND)
    if not arguments.only:
        RESULTS.write_text(_page(rows, base, ours, circumstances))
    print(f"Missed: {'; '.join(missed)}." if missed else "The gate kept every bound.")
    return 1 if missed and arguments.check else 0


def _measure(scenario: Scenario, server: ScratchServer, scratch: Path) -> Mapping[str, Sequence[Run]]:
    directory = _project(scenario, scratch)
    runs: dict[str, list[Run]] = {name: [] for name in _COMMANDS}
    numbers = itertools.count()
    key = f"speed_{scenario.revisions}_{scenario.is_pending}_{scenario.driver}".lower()
    databases = {name: _database(server, f"{key}_{name}") for name in _COMMANDS}
    for turn in range(scenario.rounds + 1):
        for name, command in _COMMANDS.items():
            if scenario.is_pending:
                databases[name] = _database(server, f"{key}_{name}_{next(numbers)}")
            run = _run(
                command, directory, server.url(databases[name], driver=scenario.driver), commit_each=name == "each"
            )
            if turn:  # the first one compiles the revisions, and migrates where nothing shall be pending
                runs[name].append(run)
    return runs


def _project(scenario: Scenario, scratch: Path) -> Path:
    directory = scratch / f"{scenario.driver}-{scenario.revisions}"
    versions = directory / "migrations" / "versions"
    if not versions.exists():
        versions.mkdir(parents=True)
        (directory / "migrations" / "env.py").write_text(_ENVS[scenario.driver])
        for number in range(scenario.revisions):
            down = f"{number - 1:04}" if number else None
            (versions / f"{number:04}.py").write_text(_REVISION.format(revision=f"{number:04}", down=down))
    return directory


def _database(server: ScratchServer, name: str) -> str:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return name


def _run(command: Sequence[str], directory: Path, url: str, *, commit_each: bool) -> Run:
    (directory / "alembic.ini").write_text(_INI.format(url=url.replace("%", "%%")))
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "SAGE_MIGRATE_DEADLINE": "20min"}
    environment |= {"COMMIT_EACH": "1"} if commit_each else {}
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said.decode())
    return Run(seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, megabytes=usage.ru_maxrss / 1024)


def _ratio(
    runs: Mapping[str, Sequence[Run]], what: Literal["seconds", "cpu_seconds", "megabytes"], beside: str = "bare"
) -> float:
    """Return the median of the ratios of neighbours: a slow moment of the machine meets both."""
    pairs = zip(runs["gate"], runs[beside], strict=True)
    return float(statistics.median(getattr(gate, what) / getattr(bare, what) for gate, bare in pairs))


def _row(scenario: Scenario, runs: Mapping[str, Sequence[Run]], wall: float, memory: float) -> str:
    def pair(what: str, digits: int) -> str:
        bare, gate = (statistics.median(getattr(run, what) for run in runs[name]) for name in ("bare", "gate"))
        return f"{bare:.{digits}f} | {gate:.{digits}f}"

    return (
        f"| {scenario.name} | {pair('seconds', 2)} | **{wall:.2f}** | {scenario.bound} "
        f"| {_ratio(runs, 'seconds', 'each'):.2f} | {pair('cpu_seconds', 2)} "
        f"| {_ratio(runs, 'cpu_seconds'):.2f} | {pair('megabytes', 0)} | {memory:.2f} | {scenario.rounds} |"
    )


def _sizes() -> tuple[float, float]:
    """Return the megabytes of Python's own library and the five packages with what they need, and the same with the gate."""
    names = set(_with_needed(("alembic", "sqlalchemy", "asyncpg", "structlog", "tenacity")))
    library = Path(os.__file__).parent
    python = sum(
        path.stat().st_size
        for path in library.rglob("*")
        if path.is_file() and not {"site-packages", "test", "__pycache__", "idlelib", "tkinter"} & set(path.parts)
    )
    base = python + sum(_size(name) for name in names)
    source = Path(__file__).parent.parent / "runner" / "src" / "sage_migrate"
    gate = sum(path.stat().st_size for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return base / 1e6, (base + gate) / 1e6


def _with_needed(names: Iterable[str]) -> Iterator[str]:
    """Yield the packages and all that they ask for."""
    queue, seen = list(names), set[str]()
    while queue:
        name = queue.pop()
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        yield name
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)


def _size(name: str) -> int:
    files = distribution(name).files or ()
    return sum(Path(str(file.locate())).stat().st_size for file in files if Path(str(file.locate())).is_file())


def _page(rows: Sequence[str], base: float, ours: float, circumstances: str) -> str:
    return f"""<!-- Made by bench/speed.py: measure again instead of editing. -->

# What the gate costs beside bare Alembic

Both upgrade the same project, each in a process of its own, in turn, Python's start included. Ratios are medians of the
ratios of neighbours; below 1 the gate is quicker. {circumstances}

| what is to do | bare, s | gate, s | ratio | bound | to a commit each | bare, CPU | gate, CPU | ratio | bare, MB | gate | ratio | rounds |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{chr(10).join(rows)}

The drivers are asyncpg, and psycopg2 where it says so. The gate commits each revision on its own and watches it for stalls;
bare Alembic has one transaction for all of them. "To a commit each" is the ratio to bare Alembic that is told to commit each
revision too (`transaction_per_migration`): what is above 1 there is the gate's own. With nothing to do the gate runs
neither env.py nor SQLAlchemy, where an earlier run proved the answer ([architecture](../ARCHITECTURE.md)).
That it is quicker with one revision pending comes of a third of bare Alembic's time being garbage collection, while modules
are imported and at the end, which the gate spares.

Memory is the most that the process held, bound {_MEMORY_BOUND}. Installed size of Python's library and the five packages:
{base:.1f} MB; with the gate {ours:.1f} MB, {ours / base:.3f} times as much, bound {_SIZE_BOUND}.

```sh
python -m bench.speed           # writes this page
python -m bench.speed --check   # exit status 1 where a bound is missed
```
"""


if __name__ == "__main__":
    sys.exit(main())
