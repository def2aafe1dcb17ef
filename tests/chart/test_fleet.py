"""Many tenants: the hook is an Indexed Job, each index of which upgrades a part of them."""

from pathlib import Path

import pytest

from tests.chart.helm import APP_VALUES, GATE, GATE_VALUES, Helm, container, environment, overlay, the
from tests.chart.test_hook import each_spelling
from tests.chart.test_names import DNS_LABEL, LONGEST

FLEET = {"enabled": True, "schemas": "tenant_%", "shards": 4}


@each_spelling
def test_each_index_upgrades_its_shard(helm: Helm, chart: Path, prefix: str) -> None:
    """All of them run, whichever fails; one that fails is final unless it may be tried again."""
    values = GATE_VALUES if chart == GATE else APP_VALUES
    job = the(helm.render(chart, overlay(values, f"{prefix}fleet", FLEET)), "Job")
    spec = job["spec"]
    assert "backoffLimit" not in spec, "0 would end the Job with the first index that fails"
    assert {name: spec[name] for name in ("completionMode", "completions", "parallelism", "backoffLimitPerIndex")} == {
        "completionMode": "Indexed",
        "completions": 4,
        "parallelism": 4,
        "backoffLimitPerIndex": 0,
    }
    assert spec["podFailurePolicy"]["rules"][1] == {
        "action": "FailIndex",
        "onExitCodes": {"containerName": "migrate", "operator": "NotIn", "values": [0, 50]},
    }
    assert container(job)["args"] == ["fleet", "upgrade"]
    variables = environment(job)
    assert {name: variables[f"SAGE_MIGRATE_{name}"] for name in ("SCHEMAS", "SHARDS", "SHARD_BY", "SLOTS")} == {
        "SCHEMAS": "tenant_%",
        "SHARDS": "4",
        "SHARD_BY": "hash",
        "SLOTS": "0",
    }


@pytest.mark.parametrize(
    ("fleet", "seconds"),
    [({}, 285), ({"parallelism": 2}, 570), ({"parallelism": 3}, 570), ({"backoffLimitPerIndex": 2}, 855)],
)
def test_job_has_time_for_each_round(helm4: Helm, fleet: dict[str, int], seconds: int) -> None:
    """A pod's own deadline stays; the Job's is that of as many pods as follow each other."""
    job = the(helm4.render(GATE, overlay(GATE_VALUES, "fleet", {**FLEET, **fleet})), "Job")
    assert job["spec"]["activeDeadlineSeconds"] == seconds
    assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 270


@pytest.mark.parametrize("mode", ["helm", "job"])
def test_host_name_of_each_pod_is_one(helm4: Helm, mode: str) -> None:
    """It is the Job's name and the index, as long a release's name as there is."""
    values = overlay(overlay(GATE_VALUES, "fleet", {**FLEET, "shards": 1000}), "mode", mode)
    name = the(helm4.render(GATE, values, release=LONGEST), "Job")["metadata"]["name"]
    assert DNS_LABEL.fullmatch(f"{name}-999")
