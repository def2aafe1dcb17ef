"""One side of the comparison: a run of one tool, with what its own log says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.live_load import Summary
from bench.migration_run import MigrationRun


@dataclass(frozen=True, kw_only=True)
class Side:
    """One tool's run on a database of its own."""

    run: MigrationRun
    felt: Summary
    applied: bool

    def events(self, *names: str) -> Iterator[dict[str, Any]]:
        """Yield the events of the gate's log that have one of these names; other tools' logs have none."""
        for line in self.run.outputs[0].splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] in names:
                    yield event

    @property
    def tries(self) -> int:
        """How often the tool queued for a lock, at most, in one revision."""
        return max((event["attempt"] for event in self.events("revision_started")), default=1)
