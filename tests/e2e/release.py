"""A release of a service: what Helm does to it, and what is then to be seen in the cluster."""

import json
import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.database import PASSWORD, Database
from tests.e2e.services import HERE, Service
from tests.e2e.waiting import until

NAME = "shop"
HELMS = ("helm3", "helm4")
# The sample by each Helm; what the others bring is theirs, not Helm's.
each_service = pytest.mark.parametrize(
    ("helm", "service"),
    [*((helm, "sample") for helm in HELMS), ("helm3", "orders"), ("helm4", "new_service")],
    indirect=True,
)
WAIT = ("--wait", "--timeout", "90s")
UNDO_ON_FAILURE = {"helm3": "--atomic", "helm4": "--rollback-on-failure"}

# Helm 4 hands a hook's log to its own: quoted as Go does, which is as JSON does, and cut wherever its buffer was full.
HELM_4_LOG = re.compile(r'^level=INFO msg=("(?:[^"\\]|\\.)*")$', re.MULTILINE)

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class HelmRun:
    """One command, and what a person at its terminal saw."""

    command: str
    exit_status: int
    output: str
    ended: float
    """Seconds since the epoch."""

    def events(self) -> list[Manifest]:
        """Return the runner's log lines in the output."""
        cut = "".join(json.loads(quoted) for quoted in HELM_4_LOG.findall(self.output))
        text = cut or "\n".join(line for line in self.output.splitlines() if line.startswith("{"))
        found = []
        while text := text.lstrip():
            event, end = json.JSONDecoder().raw_decode(text)
            found.append(event)
            text = text[end:]
        return found


@dataclass(frozen=True, kw_only=True)
class HelmProcess:
    """One command that is still running."""

    command: tuple[str, ...]
    process: subprocess.Popen[str]
    started: float

    def wait(self, timeout_seconds: float = 120) -> HelmRun:
        """Return the run when it has ended."""
        output, _ = self.process.communicate(timeout=timeout_seconds)
        ended = time.time()
        assert PASSWORD not in output
        print(f"{' '.join(self.command[:2])}: {ended - self.started:.1f} s, exit {self.process.returncode}")  # noqa: T201
        command = shlex.join(self.command)
        return HelmRun(command=command, exit_status=self.process.returncode, output=output, ended=ended)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release in a namespace and on a database of its own."""

    cluster: Cluster
    helm: str
    service: Service
    chart: Path
    """The chart as it is published: one file."""
    namespace: str
    database: Database

    # Helm

    def start(self, *arguments: str | Path) -> HelmProcess:
        """Start a Helm command."""
        command = (self.helm, *map(str, arguments), "--namespace", self.namespace)
        started = time.time()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.cluster.environment,
            cwd=HERE,
        )
        return HelmProcess(command=command, process=process, started=started)

    def start_upgrade(self, tag: str, *arguments: str, command: str = "upgrade") -> HelmProcess:
        """Start an upgrade to an image."""
        values = (*self.service.settings, "--set", ",".join(f"{name}={tag}" for name in self.service.tags))
        return self.start(command, NAME, self.chart, *values, *arguments)

    def start_install(self, tag: str, *arguments: str) -> HelmProcess:
        """Start the installation of an image."""
        return self.start_upgrade(tag, *arguments, command="install")

    def upgrade(self, tag: str, *arguments: str) -> HelmRun:
        """Upgrade to an image, and wait until its pods serve."""
        return succeeded(self.start_upgrade(tag, *WAIT, *arguments).wait())

    def install(self, tag: str, *arguments: str) -> HelmRun:
        """Install the release, and wait until its pods serve."""
        return succeeded(self.start_install(tag, *WAIT, *arguments).wait())

    def status(self) -> str:
        """Return what Helm thinks of the release: deployed, failed, pending-upgrade."""
        return str(json.loads(self.start("status", NAME, "--output", "json").wait().output)["info"]["status"])

    # The cluster

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Return what kubectl prints."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def apply(self, *objects: Manifest) -> None:
        """Apply objects in the namespace."""
        self.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *arguments: str, stdin: str = "") -> list[Manifest]:
        """Return objects."""
        found = self.kubectl("get", *arguments, "--output=json", "--ignore-not-found", stdin=stdin)
        answer = json.loads(found) if found else {"items": []}
        return list(answer["items"]) if "items" in answer else [answer]

    def pods(self) -> list[Manifest]:
        """Return the application's pods, those that are ending included."""
        own = f"app.kubernetes.io/name={self.service.name},app.kubernetes.io/component!=test"
        return self.get("pods", "--selector", own)

    def images(self) -> set[str]:
        """Return the tags that the application's pods run."""
        return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in self.pods()}

    def migration_pods(self) -> list[Manifest]:
        """Return the pods of the hook."""
        return self.get("pods", "--selector", "app.kubernetes.io/component=migration")

    def migration_log(self) -> str:
        """Return what the runner has logged so far; nothing before it runs."""
        command = ("kubectl", "--namespace", self.namespace, "logs", f"job/{self.service.migration}")
        return self.cluster.run(*command, check=False).stdout

    def evict(self, pod: str) -> None:
        """Evict a pod, as a drained node does; one that is deleted would be no disruption."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction))

    def settle(self) -> None:
        """Wait until the pods that a rollout replaced are gone, and the counts in every status say so."""

        def settled() -> bool:
            (deployment,) = self.get("deployment", self.service.fullname)
            status, replicas = deployment["status"], deployment["spec"]["replicas"]
            counts = [status.get(count) for count in ("replicas", "updatedReplicas", "availableReplicas")]
            pods = self.pods()
            ending = any("deletionTimestamp" in pod["metadata"] for pod in pods)
            return counts == [replicas] * 3 and len(pods) == replicas and not ending

        # Generous, for a machine that does other work too: only a failure takes this long.
        until(settled, f"the rollout of {self.service.fullname} has settled", timeout_seconds=150)

    def footprint(self) -> Manifest:
        """Return what an upgrade that failed must leave as it is."""
        objects = self.get("replicasets,secrets,configmaps")
        manifest = self.start("get", "manifest", NAME).wait().output
        return {
            "pods": sorted(
                (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in self.pods()
            ),
            "versions": {
                f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
                for each in objects
                if each.get("type") != "helm.sh/release.v1"  # Helm's own records of the release
            },
            "generations": {
                f"{each['kind']}/{each['metadata']['name']}": (
                    each["metadata"]["uid"],
                    each["metadata"].get("generation"),
                )
                for each in self.get("--filename=-", stdin=manifest)
            },
        }

    def runner_ended(self) -> float:
        """Return when the runner of the last, failed hook ended, in seconds since the epoch."""
        (pod,) = self.migration_pods()
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
        return datetime.fromisoformat(ended).timestamp()


def create_namespace(cluster: Cluster, name: str, database: Database) -> None:
    """Create a namespace that holds the URL of a database as the charts want it."""
    cluster.kubectl("create", "namespace", name)
    url = f"--from-literal=DATABASE_URL={database.url}"
    cluster.kubectl("--namespace", name, "create", "secret", "generic", "database", url)


def succeeded(run: HelmRun) -> HelmRun:
    """Return ``run``, which has to have ended well."""
    assert run.exit_status == 0, f"{run.command}\nended with {run.exit_status}:\n{run.output}"
    return run


def is_ready(pod: Manifest) -> bool:
    """Tell whether the pod gets requests."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
