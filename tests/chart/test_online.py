"""The Job that does what releases leave of the online revisions, outside of Helm's timeout."""

import re
from typing import Any

import pytest
from sage_migrate.errors import GateError

from tests.chart.helm import APP, APP_VALUES, Helm, Manifest, container, environment, is_hook, of_kind, the
from tests.chart.test_names import DNS_LABEL, LONGEST

MODES = ("helm", "flux", "argocd", "job")


def values(mode: str = "helm", **gate: object) -> dict[str, object]:
    """Return the values of the sample's release with an online run."""
    return {**APP_VALUES, "migration": {"mode": mode, "online": {"enabled": True}, **gate}}


def online(manifests: list[Manifest]) -> dict[str, Any]:
    """Return the objects of the online run by kind."""
    found = [m for m in manifests if re.search(r"-online(-[0-9a-f]{8})?$", m["metadata"]["name"])]
    assert len({m["kind"] for m in found}) == len(found)
    return {m["kind"]: m for m in found}


def hook(manifests: list[Manifest]) -> Manifest:
    """Return the gate's own Job."""
    (job,) = (m for m in of_kind(manifests, "Job") if "-migrate" in m["metadata"]["name"])
    return job


@pytest.mark.parametrize("mode", MODES)
def test_it_runs_beside_the_release(helm: Helm, mode: str) -> None:
    """No hook, for that would be waited for; the same pod as the gate's, with time of its own."""
    manifests = helm.render(APP, values(mode))
    job, gate = online(manifests)["Job"], hook(manifests)
    assert not is_hook(job)
    assert "argocd.argoproj.io/hook" not in job["metadata"].get("annotations", {})
    assert container(job)["args"] == ["upgrade", "--online"]
    assert container(job)["image"] == container(gate)["image"]
    told, of_gate = environment(job), environment(gate)
    assert (told.pop("SAGE_MIGRATE_DEADLINE"), of_gate.pop("SAGE_MIGRATE_DEADLINE")) == ("86400s", "240s")
    assert told == of_gate
    assert job["spec"]["backoffLimit"] == 20
    assert "activeDeadlineSeconds" not in job["spec"]
    assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 86430


def test_it_is_tried_again_after_what_another_try_can_mend(helm: Helm) -> None:
    """An eviction is not counted, a kill and a status that says so are; any other status fails it at once."""
    rules = online(helm.render(APP, values()))["Job"]["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob"]
    again = {error.exit_status for error in GateError.__subclasses__() if error.retryable}
    assert set(rules[1]["onExitCodes"]["values"]) == {0, 137, *again}


def test_it_is_named_after_its_content(helm: Helm) -> None:
    """Each image gets a run of its own, and the same release no second one."""
    first, again = (online(helm.render(APP, values()))["Job"] for _ in range(2))
    assert first == again
    other = online(helm.render(APP, {**values(), "image": {"tag": "2"}}))["Job"]
    assert other["metadata"]["name"] != first["metadata"]["name"]
    for manifest in helm.render(APP, values(), release=LONGEST):
        assert DNS_LABEL.fullmatch(manifest["metadata"]["name"])


@pytest.mark.parametrize("mode", MODES)
def test_what_it_needs_outlives_the_hook(helm: Helm, mode: str) -> None:
    """The hook's account and policy are deleted when the hook has succeeded."""
    given = values(mode, serviceAccount={"create": True, "name": "migrator"}, networkPolicy={"enabled": True})
    objects = online(helm.render(APP, given))
    assert set(objects) == {"ServiceAccount", "NetworkPolicy", "Job"}
    assert not any(is_hook(m) for m in objects.values())
    pod = objects["Job"]["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"] == "migrator-online"
    selected = objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()
    waves = {m["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave") for m in objects.values()}
    assert waves == ({"1000"} if mode == "argocd" else {None})


def test_it_may_run_as_the_application(helm: Helm) -> None:
    """The account of the service is there when it starts."""
    pod = online(helm.render(APP, values()))["Job"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "orders-sage-app"


def test_it_is_asked_for(helm: Helm) -> None:
    """Most histories have nothing for it."""
    assert the(helm.render(APP, APP_VALUES), "Job")
