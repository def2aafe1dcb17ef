"""What Flux and Argo CD need of a test: their controllers as processes beside the cluster, and a repository with the chart."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tests.e2e.cluster import CI, Cluster
from tests.e2e.release import Release
from tests.e2e.services import HERE
from tests.e2e.waiting import until

MODULE = CI / "tools" / "gitops"


def build_controllers(cluster: Cluster, *names: str) -> tuple[Path, ...]:
    """Return the programs of these names of ci/tools.sh."""
    directory = Path(cluster.run_outside(CI / "tools.sh", *names).strip())
    return tuple(directory / name for name in names)


def define_kinds(cluster: Cluster, module: str, *paths: str) -> None:
    """Define in the cluster what controllers watch, by files of the Go module that they are built from."""
    go = ("go", "-C", MODULE)
    cluster.run_outside(*go, "mod", "download", module)
    directory = cluster.run_outside(*go, "list", "-m", "-f", "{{.Dir}}", module).strip()
    files = [f"--filename={directory}/{path}" for path in paths]
    cluster.kubectl("apply", "--server-side", *files)
    # One that is so new that it has no conditions at all is an error to `kubectl wait`.
    wait = ("kubectl", "wait", "--for=condition=Established", *files, "--timeout=30s")
    until(lambda: cluster.run(*wait, check=False).returncode == 0, "the cluster knows the kinds")


@contextmanager
def chart_repository(cluster: Cluster, chart: Path) -> Iterator[str]:
    """Serve a packaged chart as a Helm repository; give its URL."""
    cluster.run("helm4", "repo", "index", chart.parent)
    handler = partial(SimpleHTTPRequestHandler, directory=chart.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def running(cluster: Cluster, log: Path, *command: str | Path, **environment: str) -> Iterator[None]:
    """Run a controller; print the end of its log, for the report of a test that failed."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, env={**cluster.environment, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()
        lines = log.read_text(encoding="utf-8").splitlines()
        print(log.name, *lines[-60:], sep="\n")  # noqa: T201


def values_of(tag: str, mode: str) -> dict[str, Any]:
    """Return the values of a release of an image, in one of the gate's modes."""
    values: dict[str, Any] = yaml.safe_load((HERE / "values.yaml").read_text(encoding="utf-8"))
    values["image"]["tag"] = tag
    values["migration"]["mode"] = mode
    return values


def let_go(release: Release, kinds: str) -> None:
    """Take off the finalizers of controllers that are gone: the end of the namespace would wait for them for ever."""
    for name in release.kubectl("get", kinds, "--output=name").split():
        release.kubectl("patch", name, "--type=merge", '--patch={"metadata": {"finalizers": null}}')
