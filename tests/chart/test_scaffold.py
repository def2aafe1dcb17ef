"""The chart that `sage-migrate init` writes: its hook migrates with the service's own image and database."""

from pathlib import Path

import pytest
import yaml
from sage_migrate.scaffold.render import render, template_repository

from tests.chart.helm import GATE, Helm, container, environment, is_hook, of_kind, the

ANSWERS = {"name": "order-intake", "model": "Order", "created": "2026-11-25", "first_revision": "0123456789ab"}


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return it, with the hook's chart where its Chart.yaml says."""
    directory = tmp_path_factory.mktemp("service") / "order-intake"
    with template_repository() as repository:
        render(repository, directory, ANSWERS, ask=False)
    (directory / "chart" / "charts").mkdir()
    (directory / "chart" / "charts" / "migration-gate").symlink_to(GATE)
    return directory / "chart"


def test_it_asks_for_this_version_of_the_hook(chart: Path) -> None:
    """The package and the hook's chart are released together."""
    (dependency,) = yaml.safe_load((chart / "Chart.yaml").read_text())["dependencies"]
    assert dependency["version"] == yaml.safe_load((GATE / "Chart.yaml").read_text())["version"]


def test_hook_and_pods_have_one_image_and_one_database(helm: Helm, chart: Path) -> None:
    """The migration of a release is that of its pods, and both pass the restricted Pod Security Standard."""
    rendered = helm.render(chart, {"image": {"tag": "1.4.2"}})
    job, deployment = the(rendered, "Job"), the(rendered, "Deployment")
    assert is_hook(job)
    for workload in (job, deployment):
        assert container(workload)["image"] == "order-intake:1.4.2"
        url = environment(workload)["DATABASE_URL"]
        assert url == {"secretKeyRef": {"name": "order-intake-database", "key": "DATABASE_URL"}}
        assert container(workload)["securityContext"]["readOnlyRootFilesystem"]


def test_service_selects_no_pod_of_the_hook(helm: Helm, chart: Path) -> None:
    """A request that reached it would be refused."""
    rendered = helm.render(chart, {})
    selector = the(rendered, "Service")["spec"]["selector"].items()
    assert selector <= the(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert not selector <= the(rendered, "Job")["spec"]["template"]["metadata"]["labels"].items()
    assert len(of_kind(rendered, "Job")) == 1
