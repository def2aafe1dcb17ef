"""What is rendered is what Kubernetes knows, to the last field."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import APP, MINIMAL, Helm, each_values_file, overlay
from tests.chart.kubernetes_schemas import openapi_of_pinned_kubernetes, write_schemas

KINDS = (
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
)


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of schemas: the caller's SAGE_KUBE_SCHEMAS, or of the Kubernetes that ci/tools pins."""
    if given := os.environ.get("SAGE_KUBE_SCHEMAS"):
        return Path(given)
    directory = tmp_path_factory.mktemp("schemas")
    write_schemas(openapi_of_pinned_kubernetes(), directory, KINDS)
    return directory


def kubeconform(tools: dict[str, Path], schemas: Path, manifests: str) -> subprocess.CompletedProcess[str]:
    """Check manifests; the name of a schema is `job-batch-v1.json`."""
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command: list[str | Path] = [tools["kubeconform"], "-strict", "-summary", "-schema-location", location]
    return subprocess.run(command, input=manifests, capture_output=True, text=True, check=False, timeout=60)


@each_values_file
def test_manifest_is_valid(helm4: Helm, tools: dict[str, Path], schemas: Path, values: Path) -> None:
    """No unknown field, none missing, none of the wrong type."""
    manifests = helm4.template(values.parents[1], yaml.safe_load(values.read_text()))
    done = kubeconform(tools, schemas, manifests)
    assert done.returncode == 0, done.stdout
    assert "Skipped: 0" in done.stdout


def test_wrong_field_is_noticed(helm4: Helm, tools: dict[str, Path], schemas: Path) -> None:
    """The check would say so: a field one level deep in a value that is passed on."""
    values = overlay(MINIMAL[APP], "migration.securityContext", {"runAsUsr": 1})
    done = kubeconform(tools, schemas, helm4.template(APP, values))
    assert done.returncode == 1
    assert "additional properties 'runAsUsr' not allowed" in done.stdout
