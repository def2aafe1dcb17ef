"""Put one tool through one scenario on a database of its own, and say what came of it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage_migrate.scratch_server import ScratchServer

from bench.contenders import Contender
from bench.live_load import LiveLoad, Summary, summarize
from bench.migration_run import (
    Command,
    LongReader,
    MigrationRun,
    execute,
    fetch,
    run_beside_load,
    run_one_after_another,
    wait_until,
)
from bench.scenarios import Scenario

TEMPLATE = "seeded"
# Whether the others succeed is not in question: what they do to the application shows in fewer runs.
_REPEATS_OF_OTHERS = 20
_AT_REST_SECONDS = 10
_KILL_AFTER_LOCK_SECONDS = 0.5
_LOCKED = (
    "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'conversations'::regclass"
    " AND mode = 'AccessExclusiveLock' AND granted"
)
_RUNNER_GONE = (
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND application_name NOT IN ('the app', 'bench')"
)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one tool did to the application in one scenario."""

    scenario: Scenario
    contender: Contender
    run: MigrationRun
    felt: Summary
    applied: bool
    events: Sequence[dict[str, Any]]
    """The gate's log, of all its runs; other tools have none."""

    @property
    def succeeded(self) -> int:
        """How many of the runs ended with exit status 0."""
        return self.run.exit_statuses.count(0)

    @property
    def tries(self) -> int:
        """How often the tool queued for a lock, at most, in one revision of one run."""
        return max((event["attempt"] for event in self.named("revision_started")), default=1)

    @property
    def after_reader_seconds(self) -> float | None:
        """How long after the reader's end the tool ended; negative when it did not wait."""
        return None if self.run.reader_ended is None else self.run.ended - self.run.reader_ended

    @property
    def free_after_seconds(self) -> float | None:
        """How long after the runner's death the application waited for it still."""
        killed = self.run.interrupted
        if killed is None:
            return None
        waits = (sent + latency - killed for sent, latency in self.run.felt.requests if sent <= killed)
        return max(0.0, *waits)

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the gate's events of that name."""
        return [each for each in self.events if each["event"] == event]


def seed(server: ScratchServer, script: str) -> None:
    """Make the database that each measurement starts with a copy of."""
    execute(server.url(), f"CREATE DATABASE {TEMPLATE}")
    execute(server.url(TEMPLATE), script)


def measure_at_rest(server: ScratchServer) -> Summary:
    """Return what the application feels without any migration: what the machine itself adds to each figure."""
    with LiveLoad(server.url(TEMPLATE)) as load:
        time.sleep(_AT_REST_SECONDS)
    return summarize(load.felt)


def measure(server: ScratchServer, scenario: Scenario, contender: Contender) -> Measurement:
    """Run it."""
    database = f"{scenario.name}_{contender.name}".replace("-", "_")
    execute(server.url(), f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    url = server.url(database)
    load = LiveLoad(url, rate=scenario.rate, hold=scenario.hold_seconds)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        contender.write(directory, url, scenario)
        run = _run(load, scenario, contender, directory, url)
    applied = fetch(url, scenario.applied)[0][0]
    execute(server.url(), f"DROP DATABASE {database} WITH (FORCE)")
    return Measurement(
        scenario=scenario,
        contender=contender,
        run=run,
        felt=summarize(run.felt),
        applied=applied,
        events=[json.loads(line) for text in run.outputs for line in text.splitlines() if line.startswith('{"time')],
    )


def _run(load: LiveLoad, scenario: Scenario, contender: Contender, directory: Path, url: str) -> MigrationRun:
    if scenario.repeats > 1:
        repeats = scenario.repeats if contender.name == "gate" else min(scenario.repeats, _REPEATS_OF_OTHERS)
        steps = [contender.start(directory, url, number) for number in range(1, repeats + 1)]
        return run_one_after_another(load, steps)
    commands: list[Command] = [contender.start(directory, url, None)] * scenario.runners
    return run_beside_load(
        load,
        commands,
        reader=(lambda: LongReader(url, scenario.reader_seconds)) if scenario.reader_seconds else None,
        interrupt=(lambda processes: _kill(url, processes)) if scenario.is_killed else None,
    )


def _kill(url: str, processes: list[subprocess.Popen[bytes]]) -> float:
    """Kill the runner as a node's death would, a moment after it has the lock; wait until the server is done with it."""
    wait_until(url, _LOCKED)
    time.sleep(_KILL_AFTER_LOCK_SECONDS)
    for process in processes:
        process.kill()
    killed = time.monotonic()
    wait_until(url, _RUNNER_GONE)
    return killed
