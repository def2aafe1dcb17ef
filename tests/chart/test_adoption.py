"""Another service's chart takes the hook, in the ways that the hook's README shows."""

import re
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import GATE, Helm, container, environment, is_hook, of_kind, the

README = (GATE / "README.md").read_text()
# In the order of the README: the dependency, the values that drive it, the template of a parent.
DEPENDENCY, DRIVEN_BY_VALUES, INCLUDED = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
NAMES = '{{ define "orders.fullname" }}shop-orders{{ end }}{{ define "orders.serviceAccountName" }}web{{ end }}'


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Return the chart of an unrelated service, with the hook as its dependency."""
    chart = tmp_path / "orders"
    (chart / "templates").mkdir(parents=True)
    (chart / "charts").mkdir()
    (chart / "charts" / "migration-gate").symlink_to(GATE)
    metadata = {"apiVersion": "v2", "name": "orders", "version": "0.1.0", **yaml.safe_load(DEPENDENCY)}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    (chart / "templates" / "service.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: orders}\n"
        "spec:\n  ports: [{port: 80}]\n"
        "  selector: {app.kubernetes.io/name: orders, app.kubernetes.io/instance: '{{ .Release.Name }}'}\n"
    )
    return chart


def test_dependency_is_this_version() -> None:
    """The README names the chart that it belongs to."""
    (dependency,) = yaml.safe_load(DEPENDENCY)["dependencies"]
    assert dependency["version"] == yaml.safe_load((GATE / "Chart.yaml").read_text())["version"]


def test_values_alone_are_enough(helm: Helm, orders: Path) -> None:
    """At most ten lines, and one hook."""
    assert len(DRIVEN_BY_VALUES.splitlines()) + len(DEPENDENCY.splitlines()[1:]) <= 10
    manifests = helm.render(orders, yaml.safe_load(DRIVEN_BY_VALUES))
    job = the(manifests, "Job")
    assert is_hook(job)
    assert job["metadata"]["name"] == "orders-migrate"
    assert container(job)["image"] == "registry.example/orders:1.4.2"
    assert environment(job)["DATABASE_URL"]["secretKeyRef"]["name"] == "orders-database"
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert not the(manifests, "Service")["spec"]["selector"].items() <= labels.items()


def test_refusal_names_the_value_under_its_alias(helm: Helm, orders: Path) -> None:
    """The service's values have the hook's under `migration`."""
    values = yaml.safe_load(DRIVEN_BY_VALUES)
    values["migration"]["stallBudget"] = "50ms"
    message = ": migration.lockTimeout (100ms) must be shorter than migration.stallBudget (50ms)."
    assert helm.refusal(orders, values).endswith(message)


def test_parent_lends_what_it_has(helm: Helm, orders: Path) -> None:
    """Image, database and account are given once; the account that the release makes is not used before it exists."""
    (orders / "templates" / "_names.tpl").write_text(NAMES)
    (orders / "templates" / "hook.yaml").write_text(INCLUDED)
    image = {"repository": "registry.example/orders", "tag": "1.4.2"}
    values = {"image": image, "database": {"existingSecret": "db"}, "migration": {"renderedByParent": True}}
    manifests = helm.render(orders, values)
    assert len(of_kind(manifests, "Job")) == 1
    job = the(manifests, "Job")
    assert job["metadata"]["name"] == "shop-orders-migrate"
    assert container(job)["image"] == "registry.example/orders:1.4.2"
    assert environment(job)["DATABASE_URL"]["secretKeyRef"]["name"] == "db"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"
