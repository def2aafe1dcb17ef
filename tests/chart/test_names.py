"""Names: as long as Helm allows, overridden, and two releases beside one another."""

import re
from pathlib import Path

import pytest

from tests.chart.helm import APP, APP_VALUES, GATE, GATE_VALUES, MINIMAL, Helm, each_chart, overlay, the

LONGEST = "r" * 53
# Service and Job names become labels and host names.
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
FULL = {"podDisruptionBudget": {"enabled": True}, "migration": {"serviceAccount": {"create": True}}, **APP_VALUES}


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        (GATE, {**GATE_VALUES, "serviceAccount": {"create": True}}),
        (APP, FULL),
        (APP, {**FULL, "nameOverride": "n" * 63}),
        (APP, {**FULL, "fullnameOverride": "f" * 63}),
    ],
)
def test_longest_names_are_still_names(helm: Helm, chart: Path, values: dict[str, object]) -> None:
    """A release may have 53 characters, an override 63."""
    for manifest in helm.render(chart, values, release=LONGEST):
        assert DNS_LABEL.fullmatch(manifest["metadata"]["name"]), manifest["metadata"]["name"]
        for value in manifest["metadata"]["labels"].values():
            assert len(value) <= 63


def test_every_object_names_its_namespace(helm: Helm) -> None:
    """What `helm template` prints can be applied by something else."""
    assert {manifest["metadata"]["namespace"] for manifest in helm.render(APP, FULL)} == {"shop"}


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("orders", {}, "orders-sage-app"),
        ("sage-app", {}, "sage-app"),
        ("orders", {"nameOverride": "api"}, "orders-api"),
        ("orders", {"fullnameOverride": "api"}, "api"),
    ],
)
def test_name_of_the_service(helm: Helm, release: str, values: dict[str, str], name: str) -> None:
    """The hook's Job is named after the service."""
    manifests = helm.render(APP, {**APP_VALUES, **values}, release=release)
    assert the(manifests, "Service")["metadata"]["name"] == name
    assert the(manifests, "Job")["metadata"]["name"] == f"{name}-migrate"


def test_name_of_the_hook_alone(helm: Helm) -> None:
    """It is the release's, unless it is overridden: also under a parent."""
    assert the(helm.render(GATE, GATE_VALUES), "Job")["metadata"]["name"] == "orders-migrate"
    values = overlay(APP_VALUES, "migration.fullnameOverride", "other")
    assert the(helm.render(APP, values), "Job")["metadata"]["name"] == "other-migrate"


@each_chart
@pytest.mark.parametrize("other", ["payments", f"{LONGEST[:-1]}x"])
def test_two_releases_share_nothing(helm: Helm, chart: Path, other: str) -> None:
    """Neither an object nor a selector, in one namespace."""
    first = helm.render(chart, MINIMAL[chart], release=LONGEST)
    second = helm.render(chart, MINIMAL[chart], release=other)
    names = [{(m["kind"], m["metadata"]["name"]) for m in manifests} for manifests in (first, second)]
    assert not names[0] & names[1]
    if chart == APP:
        labels = the(second, "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert not the(first, "Service")["spec"]["selector"].items() <= labels.items()
