"""Run one project's history through bare Alembic and through the gate, and compare what each leaves in its database."""

import difflib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sage_migrate.scratch_server import ScratchServer

from tests.compat.environment import Environment, Project

_PROGRAM = """
import sys
from {module} import main as theirs

ended = []
def main():
    ended.append(theirs())

{launch}
sys.exit(ended[0])
"""
_NO_LOGGING = """
[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
handlers =
"""
_BARE, _GATE = "alembic.config", "sage_migrate.cli"
_PATIENCE_SECONDS = 1800
# Each transaction that writes the version table, as the server saw it.
SERVER_SETTINGS = {"log_statement": "all", "log_line_prefix": "%d %v "}


@dataclass(kw_only=True)
class Comparison:
    """What became of one project."""

    project: Project
    revisions: int = 0
    transactions: int = 0
    bare_seconds: float = 0.0
    gate_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Run:
    status: int
    output: str
    seconds: float


def compare(project: Project, environment: Environment, server: ScratchServer) -> Comparison:
    """Upgrade two empty databases to the target, and a second time; return what differs."""
    result = Comparison(project=project)
    bare, gate = f"{project.name}_bare", f"{project.name}_gate"
    with tempfile.TemporaryDirectory(prefix="sage-compat-") as scratch:
        runs = {}
        for database, module in ((bare, _BARE), (gate, _GATE)):
            _psql(environment, server, "postgres", f'CREATE DATABASE "{database}"')
            runs[module] = _run(
                project, environment, server.url(database, driver=project.driver), module, Path(scratch)
            )
        result.bare_seconds, result.gate_seconds = (round(run.seconds, 1) for run in runs.values())
        for module, run in runs.items():
            if (run.status != 0) != project.refuses:
                result.problems.append(f"{module} ended with {run.status}:\n{run.output[-3000:]}")
        if project.refuses and (left := _differences(*(_dump(server, name, "--schema-only") for name in (bare, gate)))):
            result.problems.append("something was left behind:\n" + "\n".join(left))
        if project.refuses or result.problems:
            return result
        again = _run(project, environment, server.url(gate, driver=project.driver), _GATE, Path(scratch))
        if again.status != 0 or _events(again.output).get("revision_applied"):
            result.problems.append(f"a second run did not find the database at its target:\n{again.output[-3000:]}")
    result.events = _events(runs[_GATE].output)
    result.revisions = result.events.get("revision_applied", 0)
    _compare_databases(project, server, bare, gate, result)
    return result


def _compare_databases(project: Project, server: ScratchServer, bare: str, gate: str, result: Comparison) -> None:
    tables = [_dump(server, name, "--data-only", "--table", project.version_table) for name in (bare, gate)]
    if sorted(tables[0]) != sorted(tables[1]):
        result.problems.append(f"the version tables differ: {tables}")
    differing = _differences(*(_dump(server, name, "--schema-only") for name in (bare, gate)))
    allowed = re.compile(project.as_designed["lines"]) if project.as_designed else None
    if left := [line for line in differing if allowed is None or not allowed.search(line)]:
        result.problems.append("the schemas differ:\n" + "\n".join(left))
    result.transactions = len(_writers(server, gate, project.version_table))
    expected = 1 if project.transactions == "one" else result.revisions
    if result.transactions != expected:
        result.problems.append(f"{result.revisions} revisions were committed in {result.transactions} transactions")
    if project.transactions == "one" and "external_transaction" not in result.events:
        result.problems.append("all revisions were in one transaction, and nobody said so")


def _run(project: Project, environment: Environment, url: str, module: str, scratch: Path) -> _Run:
    names = {
        "url": url,
        "async_url": re.sub(r"^\w+\+\w+", "postgresql+asyncpg", url),
        "plain_url": re.sub(r"^\w+\+\w+", "postgresql", url),
        "site": str(environment.site),
        "scratch": str(scratch),
        "no_logging": _NO_LOGGING,
    }
    config = environment.site / project.config
    if project.ini:
        config = scratch / "alembic.ini"
        config.write_text(_fill(project.ini, names))
    variables = {key: _fill(value, names) for key, value in project.environment.items()}
    limits = {"SAGE_MIGRATE_DEADLINE": "20min", "SAGE_MIGRATE_LOG_FORMAT": "json"}
    basics: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": str(scratch), "LANG": "C.UTF-8"}
    arguments = [_fill(argument, names) for argument in project.arguments]
    started = time.monotonic()
    program = _PROGRAM.format(module=module, launch=project.launch)
    command = [str(environment.python), "-P", "-c", program, "-c", str(config), *arguments, "upgrade", project.target]
    done = subprocess.run(
        command,
        cwd=environment.site / project.directory if project.directory else scratch,
        env={**basics, **limits, **variables},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=_PATIENCE_SECONDS,
    )  # fmt: skip
    return _Run(status=done.returncode, output=done.stdout, seconds=time.monotonic() - started)


def _fill(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _events(output: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                name = json.loads(line)["event"]
            except (ValueError, KeyError, TypeError):
                continue
            counts[name] = counts.get(name, 0) + 1
    return counts


def _psql(environment: Environment, server: ScratchServer, database: str, sql: str) -> None:
    """Run one statement; the embedded server has no psql, and the project's environment has asyncpg."""
    code = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(sys.argv[1])\n"
        "    await connection.execute(sys.argv[2])\n"
        "    await connection.close()\n"
        "asyncio.run(main())"
    )
    subprocess.run([environment.python, "-c", code, server.url(database), sql], check=True)


def _dump(server: ScratchServer, database: str, *options: str) -> list[str]:
    """Return pg_dump's lines without comments, and without the gate's lineage."""
    done = subprocess.run(
        [server.bin_directory / "pg_dump", "--restrict-key=same", *options, server.url(database)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    return [line for line in lines if line.strip() and not line.startswith("--") and "sage-migrate lineage" not in line]


def _differences(bare: list[str], gate: list[str]) -> list[str]:
    return [line for line in difflib.unified_diff(bare, gate, "bare", "gate", lineterm="", n=0) if line[:1] in "+-"][2:]


def _writers(server: ScratchServer, database: str, version_table: str) -> set[str]:
    """Return the transactions in which the server logged a write of the version table."""
    writes = re.compile(
        rf"^{re.escape(database)} (\S+) LOG: .*\b(?:INSERT INTO|UPDATE|DELETE FROM) \S*\b{version_table}\b"
    )
    log = (server.directory / "server.log").read_text(errors="replace")
    return {found[1] for line in log.splitlines() if (found := writes.match(line))}
