"""Show what a deployed migration does to a running application: with bare Alembic, and through the gate.

Starts a PostgreSQL of its own, brings the sample service's schema to its first revision, fills it, and upgrades
it to head twice, each time on a database of its own, under the same load and with the same long reader in
the way. Everything printed was measured; the exit status is 1 when the gate's promise did not hold.
"""

import sys
import time
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sage_migrate.scratch_server import ScratchServer, scratch_server

from bench.live_load import LiveLoad, summarize
from bench.migration_run import Command, LongReader, clean_environment, execute, fetch, run_beside_load
from demo.side import Side
from demo.table import render

BACKEND = Path(__file__).parent.parent / "backend"
FIRST_REVISION = "3f8a1c5d7e20"
READER_SECONDS = 8
# What the gate promises here: nobody waits longer than one try for the lock, 0.1 s, and a moment for its end.
PROMISE_SECONDS = 0.1 + 0.2

ALEMBIC = ("alembic", "upgrade")
GATE = ("sage_migrate", "--log-format", "json", "upgrade")
_FILL = """
INSERT INTO organizations (name) SELECT 'organization ' || n FROM generate_series(1, 10) AS n;
INSERT INTO conversations (org_id, title)
    SELECT id, 'conversation ' || n FROM organizations, generate_series(1, 2000) AS n;
ANALYZE;
"""


def main() -> int:
    """Run both sides and print them beside each other."""
    began = time.monotonic()
    _say("Starting PostgreSQL with the sample service's first schema and 20,000 conversations …")
    with scratch_server() as server:
        _make_template(server)
        _say("Deploying with bare Alembic …")
        bare = _deploy(server, "bare", *ALEMBIC, "head")
        _say("Deploying through the gate …")
        gate = _deploy(server, "gate", *GATE, "head")
    _say(render(bare, gate, reader_seconds=READER_SECONDS))
    kept = gate.applied and gate.felt.maximum_stall_seconds <= PROMISE_SECONDS
    verdict = "The promise was kept" if kept else "THE PROMISE WAS NOT KEPT"
    _say(f"{verdict}: applied, and no request waited longer than {PROMISE_SECONDS:.1f} s.")
    _say(f"This took {time.monotonic() - began:.0f} s.")
    return 0 if kept else 1


def _make_template(server: ScratchServer) -> None:
    execute(server.url(), "CREATE DATABASE sample")
    url = server.url("sample")
    run = run_beside_load(None, [_command(url, *ALEMBIC, FIRST_REVISION)])
    if any(run.exit_statuses):
        raise SystemExit(run.outputs[0])
    execute(url, _FILL)


def _deploy(server: ScratchServer, database: str, *arguments: str) -> Side:
    """Upgrade a copy of the sample's database, beside the load and the reader."""
    execute(server.url(), f"CREATE DATABASE {database} TEMPLATE sample")
    url = server.url(database)
    run = run_beside_load(LiveLoad(url), [_command(url, *arguments)], reader=lambda: LongReader(url, READER_SECONDS))
    if any(run.exit_statuses):
        _say(run.outputs[0])
    (row,) = fetch(url, "SELECT version_num FROM alembic_version")
    return Side(run=run, felt=summarize(run.felt), applied=row["version_num"] == _head())


def _command(url: str, module: str, *arguments: str) -> Command:
    return Command(
        arguments=(sys.executable, "-m", module, *arguments),
        directory=BACKEND,
        environment=clean_environment(DATABASE_URL=url),
    )


def _head() -> str | None:
    return ScriptDirectory.from_config(Config(BACKEND / "alembic.ini")).get_current_head()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
