"""Run the live application beside a migration, and sum up what it felt."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import REQUESTS_PER_SECOND, Felt

_TOP = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the application felt in one run; durations in seconds."""

    requests: int
    failed: int
    maximum_stall_seconds: float
    p99_seconds: float
    late_seconds: float
    failures: tuple[str, ...]


class LiveLoad:
    """The application's process; `felt` is there after ``with``."""

    def __init__(self, url: str, *, rate: float = REQUESTS_PER_SECOND, hold: float = 0) -> None:
        """Serve on the database at ``url``."""
        self._command = [sys.executable, "-m", "bench.load", url, "--rate", str(rate), "--hold", str(hold)]
        self.felt = Felt(interval_seconds=0)

    def __enter__(self) -> Self:
        """Start the process and wait until it serves.

        Raises:
            RuntimeError: it did not start to serve; its reason is on standard error.
        """
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_TOP
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._process.kill()
            raise RuntimeError("the load did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process and take its result."""
        output, _ = self._process.communicate()
        if self._process.returncode == 0:
            self.felt = Felt(**json.loads(output))
        elif error is None:
            raise RuntimeError("the load failed")


def summarize(felt: Felt) -> Summary:
    """Return the figures of one run.

    A connection that waits sends nothing, so the requests that users would have made meanwhile are added with
    what was left of the wait: else one stall of 20 s would count as a single slow request in thousands
    ("coordinated omission", as HdrHistogram corrects it).
    """
    latencies: list[float] = []
    for _, latency in felt.requests:
        latencies.append(latency)
        rest = latency - felt.interval_seconds
        while rest > 0:
            latencies.append(rest)
            rest -= felt.interval_seconds
    latencies.sort()
    return Summary(
        requests=len(felt.requests) + len(felt.failures),
        failed=len(felt.failures),
        maximum_stall_seconds=latencies[-1],
        p99_seconds=latencies[math.ceil(0.99 * len(latencies)) - 1],
        late_seconds=felt.late_seconds,
        failures=tuple(sorted({reason for _, reason in felt.failures})),
    )
