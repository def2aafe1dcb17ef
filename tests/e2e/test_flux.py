"""Flux, by its own controllers: a failed migration fails the HelmRelease, which goes back, and tries again."""

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

KINDS = {
    "github.com/fluxcd/helm-controller": ("config/crd/bases",),
    "github.com/fluxcd/source-controller": ("config/crd/bases",),
}
QUIET = ("--metrics-addr=0", "--health-addr=0")


@pytest.fixture
def ask(release: Release, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Run Flux's controllers, and return how to ask them for a release of an image: by a HelmRelease, as from Git."""
    for module, paths in KINDS.items():
        define_kinds(release.cluster, module, *paths)
    source, helm = build_controllers(release.cluster, "source-controller", "helm-controller")
    storage = tmp_path / "storage"
    storage.mkdir()
    address = f"127.0.0.1:{free_port()}"
    at = (f"--storage-path={storage}", f"--storage-addr={address}", f"--storage-adv-addr={address}")
    with ExitStack() as stack:
        stack.callback(let_go, release, "helmreleases,helmcharts,helmrepositories")
        url = stack.enter_context(chart_repository(release.cluster, release.chart))
        stack.enter_context(running(release.cluster, tmp_path / "source-controller.log", source, *QUIET, *at))
        stack.enter_context(running(release.cluster, tmp_path / "helm-controller.log", helm, *QUIET))
        yield lambda tag: release.apply(*asked_for(release, url, tag))


def asked_for(release: Release, url: str, tag: str) -> list[Manifest]:
    """Return the repository, and a HelmRelease that is tried twice."""
    chart = {"chart": release.service.name, "sourceRef": {"kind": "HelmRepository", "name": "charts"}}
    return [
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "HelmRepository",
            "metadata": {"name": "charts"},
            "spec": {"interval": "1m", "url": url},
        },
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "metadata": {"name": NAME},
            "spec": {
                "interval": "1m",
                "timeout": "120s",
                "chart": {"spec": chart},
                "upgrade": {"remediation": {"retries": 1}},
                "values": values_of(tag, "flux"),
            },
        },
    ]


def conditions(release: Release) -> dict[str, Manifest]:
    """Return what Flux says of the release as it was asked for last."""
    (found,) = release.get("helmrelease", NAME)
    generation = found["metadata"]["generation"]
    of_all = found.get("status", {}).get("conditions", [])
    return {each["type"]: each for each in of_all if each["observedGeneration"] == generation}


def await_condition(release: Release, name: str) -> dict[str, Manifest]:
    """Return what Flux says as soon as one thing is true."""

    def look() -> dict[str, Manifest]:
        found = conditions(release)
        return found if found.get(name, {}).get("status") == "True" else {}

    return until(look, f"the HelmRelease is {name}", timeout_seconds=150)


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_failed_migration_is_rolled_back_and_tried_again(release: Release, ask: Callable[[str], None]) -> None:
    """Two failed upgrades touch nothing that serves, and Flux names the hook; the mended image goes through, and back."""
    ask(BASE)
    await_condition(release, "Ready")
    release.settle()
    assert release.database.versions() == [release.service.head]

    before = release.footprint()
    with no_failed_request(release):
        ask("mistake")
        found = await_condition(release, "Stalled")
        assert found["Ready"]["status"] == "False"
        assert release.service.migration in found["Released"]["message"]
        (status,) = (each["status"] for each in release.get("helmrelease", NAME))
        assert (status["upgradeFailures"], found["Stalled"]["reason"]) == (2, "RetriesExceeded")
        assert "a11ce0000002" in release.migration_log()
        assert release.footprint() == before
        assert release.database.versions() == ["a11ce0000001"]

        for tag in ("archive", BASE):
            ask(tag)
            await_condition(release, "Ready")
            release.settle()
            assert release.images() == {tag}
            assert release.database.versions() == ["a11ce0000002"]
