"""How much later the first new pod of a release comes because of the hook: ``python -m bench.hook_overhead``.

An upgrade that has nothing to migrate, with the hook and without it in turn (A B A B …), by each Helm, on the cluster of the
end-to-end tests. From the start of `helm upgrade` until the API server tells of the first new pod; where the time with the
hook goes is told by when the states of its Job and pod were seen, and by the runner's own log. A full run writes
docs/bench/hook.md; ``--check`` ends in status 1 where the hook costs more than it may.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.circumstances import name_processor
from tests.e2e.cluster import Cluster
from tests.e2e.database import Database, created
from tests.e2e.images import cluster_with_sample
from tests.e2e.release import HELMS, Release, create_namespace
from tests.e2e.services import BASE, SAMPLE
from tests.e2e.waiting import until

RESULTS = Path(__file__).parent.parent / "docs" / "bench" / "hook.md"
BOUND_SECONDS = 5.0
_ROUNDS = 7
_NAMESPACE = "hook-overhead"
# Where each stage of an upgrade with the hook ends.
_STAGES = (
    "Helm renders, and makes the Job",
    "the Job's controller makes the pod",
    "the scheduler places it",
    "sandbox, container, Python's start",
    "the runner works",
    "the kubelet notices the end",
    "the Job's controller counts it",
    "Helm deletes the Job",
    "Helm changes the release, and the first new pod is there",
)


Matches = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One event of a watch, and when it arrived."""

    at: float
    """Seconds since the epoch."""
    kind: str
    state: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the API server tells of an upgrade's Jobs and pods."""

    sights: list[Sight] = field(default_factory=list)

    def follow(self, watch: subprocess.Popen[str]) -> None:
        """Read the events of one watch until it ends, each a line of its own."""
        assert watch.stdout
        for line in watch.stdout:
            event = json.loads(line)
            self.sights.append(Sight(at=time.time(), kind=event["type"], state=event["object"]))

    def first(self, kind: str, matches: Matches, *, since: float) -> float:
        """Return when an event was first seen; wait for it."""

        def look() -> float:
            sights = (each for each in self.sights if each.at >= since and each.kind == kind)
            return next((each.at for each in sights if matches(each.state)), 0.0)

        return until(look, f"an event {kind}")


def main() -> int:
    """Measure, print the figures, write the page; return 1 when the hook costs more than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.hook_overhead")
    parser.add_argument("--check", action="store_true", help="exit status 1 where it costs more than it may")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"{_ROUNDS} unless given; fewer write no page")
    arguments = parser.parse_args()
    with cluster_with_sample() as cluster, created("hook_overhead", cluster.database) as database:
        measured = {helm: _measure(cluster, helm, database, arguments.rounds) for helm in HELMS}
        page = _page(cluster, measured)
    print(page)
    if arguments.rounds >= _ROUNDS:
        RESULTS.write_text(page, encoding="utf-8")
    highest = max(_overhead(rounds) for rounds in measured.values())
    return int(arguments.check and highest > BOUND_SECONDS)


Round = tuple[tuple[float, ...], float]
"""The stages with the hook, and the whole without it, in seconds."""


def _measure(cluster: Cluster, helm: str, database: Database, rounds: int) -> list[Round]:
    with _namespace(cluster, database) as namespace, _watching(cluster, namespace) as watch:
        release = Release(
            cluster=cluster, helm=helm, service=SAMPLE, chart=SAMPLE.chart, namespace=namespace, database=database
        )
        release.install(BASE, "--set", "replicaCount=1")
        release.settle()
        # The first ones are not counted: they find caches cold.
        found = [(_with_hook(release, watch), _without_hook(release, watch)) for _ in range(rounds + 1)]
    return found[1:]


@contextmanager
def _namespace(cluster: Cluster, database: Database) -> Iterator[str]:
    create_namespace(cluster, _NAMESPACE, database)
    try:
        yield _NAMESPACE
    finally:
        cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait")


@contextmanager
def _watching(cluster: Cluster, namespace: str) -> Iterator[Watch]:
    watch = Watch()
    options = ("--watch", "--output-watch-events", "--output=json", "--namespace", namespace)
    processes = [cluster.start("kubectl", "get", kind, *options) for kind in ("jobs", "pods")]
    threads = [threading.Thread(target=watch.follow, args=(each,)) for each in processes]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        for thread in threads:
            thread.join()


def _with_hook(release: Release, watch: Watch) -> tuple[float, ...]:
    began, mark = time.time(), _mark()
    helm = release.start_upgrade(BASE, "--set", f"replicaCount=1,podAnnotations.round={mark}")
    ended = watch.first("MODIFIED", _has_ended, since=began)
    # Its log goes with the Job, which takes a while.
    log = [json.loads(line) for line in release.kubectl("logs", f"job/{SAMPLE.migration}").splitlines()]
    assert log[-1]["event"] == "finished", log
    ends = (
        began,
        watch.first("ADDED", _is_a_job, since=began),
        watch.first("ADDED", _is_of_the_hook, since=began),
        watch.first("MODIFIED", _is_placed, since=began),
        datetime.fromisoformat(log[0]["timestamp"]).timestamp(),
        datetime.fromisoformat(log[-1]["timestamp"]).timestamp(),
        ended,
        watch.first("MODIFIED", _is_counted, since=began),
        watch.first("DELETED", _is_a_job, since=began),
        watch.first("ADDED", _is_new_pod(mark), since=began),
    )
    assert helm.wait().exit_status == 0
    release.settle()
    return tuple(after - before for before, after in pairwise(ends))


def _without_hook(release: Release, watch: Watch) -> float:
    began, mark = time.time(), _mark()
    settings = f"replicaCount=1,podAnnotations.round={mark},migration.enabled=false"
    helm = release.start_upgrade(BASE, "--set", settings)
    pod = watch.first("ADDED", _is_new_pod(mark), since=began)
    assert helm.wait().exit_status == 0
    release.settle()
    return pod - began


def _mark() -> str:
    return f"at-{time.monotonic_ns()}"


def _is_a_job(each: Mapping[str, Any]) -> bool:
    return bool(each["kind"] == "Job")


def _is_counted(each: Mapping[str, Any]) -> bool:
    return _is_a_job(each) and "completionTime" in each["status"]


def _is_of_the_hook(each: Mapping[str, Any]) -> bool:
    labels = each["metadata"].get("labels", {})
    return each["kind"] == "Pod" and bool(labels.get("app.kubernetes.io/component") == "migration")


def _is_placed(each: Mapping[str, Any]) -> bool:
    return _is_of_the_hook(each) and "nodeName" in each["spec"]


def _has_ended(each: Mapping[str, Any]) -> bool:
    return _is_of_the_hook(each) and bool(each["status"]["phase"] == "Succeeded")


def _is_new_pod(mark: str) -> Matches:
    return lambda each: each["kind"] == "Pod" and each["metadata"].get("annotations", {}).get("round") == mark


def _overhead(rounds: Sequence[Round]) -> float:
    return statistics.median(sum(stages) - without for stages, without in rounds)


def _page(cluster: Cluster, measured: Mapping[str, Sequence[Round]]) -> str:
    versions = json.loads(cluster.kubectl("version", "--output=json"))
    rows = "\n".join(
        f"| {cluster.run(helm, 'version', '--template={{.Version}}').stdout} "
        f"| {statistics.median(sum(stages) for stages, _ in rounds):.1f} "
        f"| {statistics.median(without for _, without in rounds):.1f} | **{_overhead(rounds):.1f}** "
        f"| {min(sum(stages) - without for stages, without in rounds):.1f} to "
        f"{max(sum(stages) - without for stages, without in rounds):.1f} |"
        for helm, rounds in measured.items()
    )
    stages = "\n".join(
        f"| {stage} | "
        + " | ".join(f"{statistics.median(each[n] for each, _ in rounds):.2f}" for rounds in measured.values())
        + " |"
        for n, stage in enumerate(_STAGES)
    )
    rounds = len(next(iter(measured.values())))
    server = versions["serverVersion"]["gitVersion"]
    return f"""<!-- Made by bench/hook_overhead.py: measure again instead of editing. -->

# What the hook costs a release

An upgrade of `sage-app` that has nothing to migrate, with the hook and with `migration.enabled: false` in turn: seconds from
the start of `helm upgrade` until the API server tells of the first new pod. Medians of {rounds} rounds each; the difference is that of
neighbours, and may be {BOUND_SECONDS:g} s.

| Helm | with the hook | without | the hook costs | in single rounds |
|---|---:|---:|---:|---:|
{rows}

Where the time with the hook goes, in seconds:

| until | {" | ".join(measured)} |
|---|{"---:|" * len(measured)}
{stages}

The image was on the node; pulling it comes on top. The kubelet looks once a second for containers that have ended, and
the Job's controller gathers what it learns for a second before it counts it: nothing in a Job can shorten these two.

Measured on {datetime.now(UTC):%Y-%m-%d} by `python -m bench.hook_overhead` on {os.cpu_count()} cores of {name_processor()},
Kubernetes {server} on one node ({_node()}), the server and all else together.
"""


def _node() -> str:
    kind = subprocess.run(["ci/cluster.sh", "kind-of"], check=True, capture_output=True, text=True).stdout.strip()
    return {"node": "ci/node.sh", "kind": "kind", "named": "a cluster of somebody's own"}[kind]


if __name__ == "__main__":
    sys.exit(main())
