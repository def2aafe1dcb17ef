"""Argo CD, by its own controller and repository server: a failed migration fails the sync before wave 0."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sage_migrate.scratch_server import free_port

from tests.e2e.gitops import build_controllers, chart_repository, define_kinds, let_go, running, values_of
from tests.e2e.load import no_failed_request
from tests.e2e.release import NAME, Manifest, Release
from tests.e2e.services import BASE
from tests.e2e.waiting import until

MODULE = "github.com/argoproj/argo-cd/v3"
KINDS = ("manifests/crds/application-crd.yaml", "manifests/crds/appproject-crd.yaml")
LABELS = {"app.kubernetes.io/part-of": "argocd"}
# What an installation of Argo CD has of its own; here it lives in the namespace of the release.
INSTALLATION = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "labels": LABELS}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "labels": LABELS}},
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default"},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    },
)


@pytest.fixture
def ask(release: Release, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Run Argo CD, and return how to ask it for a release of an image: by an Application that syncs by itself."""
    cluster = release.cluster
    define_kinds(cluster, MODULE, *KINDS)
    release.apply(*INSTALLATION)
    (argocd,) = build_controllers(cluster, "argocd")
    programs = tmp_path / "programs"
    programs.mkdir()
    helm = cluster.run("sh", "-c", "command -v helm4").stdout.strip()
    (programs / "helm").symlink_to(helm)
    redis, port = f"127.0.0.1:{free_port()}", free_port()
    environment = {
        "PATH": f"{programs}:{cluster.environment['PATH']}",
        "TMPDIR": str(tmp_path),
        "REDIS_SERVER": redis,
        "ARGOCD_FAKE_IN_CLUSTER": "true",  # the cluster of KUBECONFIG stands for the one that Argo CD runs in
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(tmp_path),
        "ARGOCD_SSH_DATA_PATH": str(tmp_path),
    }
    server = ("--address=127.0.0.1", f"--port={port}", "--metrics-address=127.0.0.1", "--metrics-port=0")
    controller = (f"--namespace={release.namespace}", f"--repo-server=127.0.0.1:{port}", "--metrics-port=0")
    commands: dict[str, tuple[str, ...]] = {
        "redis": (redis,),
        "argocd-repo-server": server,
        "argocd-application-controller": controller,
    }
    with ExitStack() as stack:
        stack.callback(let_go, release, "applications,jobs")
        url = stack.enter_context(chart_repository(cluster, release.chart))
        for name, words in commands.items():
            stack.enter_context(running(cluster, tmp_path / f"{name}.log", argocd, name, *words, **environment))
        yield lambda tag: release.apply(application(release, url, tag))


def application(release: Release, url: str, tag: str) -> Manifest:
    """Return an Application whose sync is tried twice."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": NAME},
        "spec": {
            "project": "default",
            "source": {
                "repoURL": url,
                "chart": release.service.name,
                "targetRevision": "*",
                "helm": {"valuesObject": values_of(tag, "argocd")},
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": release.namespace},
            "syncPolicy": {"automated": {}, "retry": {"limit": 1, "backoff": {"duration": "1s"}}},
        },
    }


def await_sync(release: Release, phase: str) -> Manifest:
    """Return the Application's status as soon as the sync that was asked for last has ended so."""

    def look() -> Manifest:
        (found,) = release.get("application", NAME)
        status: Manifest = found.get("status", {})
        state = status.get("operationState", {})
        is_last = state.get("syncResult", {}).get("source") == found["spec"]["source"]
        return status if is_last and state["phase"] == phase else {}

    return until(look, f"the sync is {phase}", timeout_seconds=150)


def synced(release: Release) -> None:
    """Wait until Argo CD sees in the cluster just what it was asked for, at work."""

    def look() -> bool:
        (found,) = release.get("application", NAME)
        status = found["status"]
        return (status["sync"]["status"], status["health"]["status"]) == ("Synced", "Healthy")

    until(look, "the application is synced and healthy", timeout_seconds=150)
    release.settle()


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_failed_migration_fails_the_sync_before_wave_0(release: Release, ask: Callable[[str], None]) -> None:
    """At the first sync too the Job comes before the pods; one that failed twice touches no pod; the mended one goes through."""
    ask(BASE)
    await_sync(release, "Succeeded")
    synced(release)
    assert release.database.versions() == [release.service.head]

    (before,) = release.get("deployment", release.service.fullname)
    with no_failed_request(release):
        ask("mistake")
        state = await_sync(release, "Failed")["operationState"]
        (job,) = (each for each in state["syncResult"]["resources"] if each["kind"] == "Job")
        assert (job["name"], job["hookPhase"], state["retryCount"]) == (release.service.migration, "Failed", 1)
        assert "a11ce0000002" in release.migration_log()
        (after,) = release.get("deployment", release.service.fullname)
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
        assert release.images() == {BASE}
        assert release.database.versions() == ["a11ce0000001"]

        for tag in ("archive", BASE):
            ask(tag)
            await_sync(release, "Succeeded")
            synced(release)
            assert release.images() == {tag}
            assert release.database.versions() == ["a11ce0000002"]
    assert release.get("jobs") == [], "the Job of a hook that succeeded is gone"
