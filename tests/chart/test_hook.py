"""The hook's objects: what Helm, the Job controller and the kubelet do with them."""

from pathlib import Path

import pytest

from tests.chart.helm import (
    APP,
    APP_VALUES,
    GATE,
    GATE_VALUES,
    MINIMAL,
    Helm,
    container,
    each_chart,
    environment,
    is_hook,
    of_kind,
    overlay,
    the,
)

HOOK = {
    "helm.sh/hook": "pre-install,pre-upgrade",
    "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
}
JOB_HOOK = {**HOOK, "helm.sh/hook-output-log-policy": "hook-failed"}
# How `sage-app` spells the hook's values, and how the hook's own chart does.
each_spelling = pytest.mark.parametrize(("chart", "prefix"), [(GATE, ""), (APP, "migration.")], ids=["gate", "app"])


@each_chart
def test_job_is_a_hook_that_shows_its_log_when_it_fails(helm: Helm, chart: Path) -> None:
    """The policies decide what Helm deletes, and whether the reason reaches the screen."""
    assert the(helm.render(chart, MINIMAL[chart]), "Job")["metadata"]["annotations"] == JOB_HOOK


@each_spelling
def test_user_cannot_change_what_makes_it_a_hook(helm: Helm, chart: Path, prefix: str) -> None:
    """The hook's annotations are merged last."""
    given = {**dict.fromkeys(JOB_HOOK, "post-delete"), "example.org/owner": "shop"}
    values = overlay(MINIMAL[chart], f"{prefix}annotations", given)
    assert the(helm.render(chart, values), "Job")["metadata"]["annotations"] == {**given, **JOB_HOOK}


@each_chart
def test_failure_is_final_and_disruption_is_not(helm: Helm, chart: Path) -> None:
    """A status fails the Job at once; an eviction, asked first, brings a new pod when the old one is gone."""
    spec = the(helm.render(chart, MINIMAL[chart]), "Job")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "migrate", "operator": "NotIn", "values": [0]},
        },
    ]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec


@each_spelling
@pytest.mark.parametrize(
    ("deadline", "limits"),
    [
        (240, {"pod": 270, "job": 285, "statement": "180s", "wait": "60s"}),
        (900, {"pod": 930, "job": 945, "statement": "675s", "wait": "60s"}),
        (10, {"pod": 40, "job": 55, "statement": "7s", "wait": "2s"}),
    ],
)
def test_one_value_moves_the_ladder(
    helm: Helm, chart: Path, prefix: str, deadline: int, limits: dict[str, object]
) -> None:
    """Each limit leaves the one inside it time to speak first."""
    job = the(helm.render(chart, overlay(MINIMAL[chart], f"{prefix}deadline", deadline)), "Job")
    variables = environment(job)
    assert variables["SAGE_MIGRATE_DEADLINE"] == f"{deadline}s"
    assert limits == {
        "pod": job["spec"]["template"]["spec"]["activeDeadlineSeconds"],
        "job": job["spec"]["activeDeadlineSeconds"],
        "statement": variables["SAGE_MIGRATE_STATEMENT_TIMEOUT"],
        "wait": variables["SAGE_MIGRATE_WAIT_TIMEOUT"],
    }


@each_chart
def test_pod_ends_before_the_job_deletes_it(helm: Helm, chart: Path) -> None:
    """The Job's deadline deletes the log, so the pod has to be gone, grace included, by then."""
    spec = the(helm.render(chart, MINIMAL[chart]), "Job")["spec"]
    pod = spec["template"]["spec"]
    assert pod["activeDeadlineSeconds"] + pod["terminationGracePeriodSeconds"] < spec["activeDeadlineSeconds"]


def test_defaults_fit_helms_own_timeout(helm: Helm) -> None:
    """The Job ends before the 300 seconds after which Helm gives up."""
    assert the(helm.render(APP, APP_VALUES), "Job")["spec"]["activeDeadlineSeconds"] < 300


@each_chart
def test_result_of_the_runner_is_kept(helm: Helm, chart: Path) -> None:
    """The file that the runner writes becomes the container's termination message, or else the log's end."""
    migrate = container(the(helm.render(chart, MINIMAL[chart]), "Job"))
    assert migrate["terminationMessagePath"] == "/dev/termination-log"
    assert migrate["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_runner_is_told_everything(helm: Helm) -> None:
    """The whole environment of the container, none of it twice."""
    job = the(helm.render(APP, APP_VALUES), "Job")
    assert container(job)["command"] == ["sage-migrate"]
    assert container(job)["args"] == ["upgrade"]
    assert environment(job) == {
        "DATABASE_URL": {"secretKeyRef": {"name": "orders-db", "key": "DATABASE_URL"}},
        "SAGE_MIGRATE_IMAGE": "sage-app:0.1.0",
        "SAGE_MIGRATE_LOG_FORMAT": "json",
        "SAGE_MIGRATE_DEADLINE": "240s",
        "SAGE_MIGRATE_WAIT_TIMEOUT": "60s",
        "SAGE_MIGRATE_LOCK_TIMEOUT": "100ms",
        "SAGE_MIGRATE_STALL_BUDGET": "1s",
        "SAGE_MIGRATE_STATEMENT_TIMEOUT": "180s",
        "SAGE_MIGRATE_IF_AHEAD": "known",
        "SAGE_MIGRATE_PHASE": "all",
    }


@each_chart
def test_hook_needs_nothing_of_its_own_release(helm: Helm, chart: Path) -> None:
    """Before the first install there is nothing but what the namespace came with."""
    manifests = helm.render(chart, MINIMAL[chart])
    job = the(manifests, "Job")
    assert [manifest for manifest in manifests if is_hook(manifest)] == [job]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    made = {m["metadata"]["name"] for m in manifests if m["kind"] in ("Secret", "ConfigMap", "ServiceAccount")}
    assert not made & {"default", "orders-db"}


@each_spelling
def test_own_service_account_is_made_before_the_job(helm: Helm, chart: Path, prefix: str) -> None:
    """It is a hook of lower weight, deleted with the Job, and no object of the application."""
    values = overlay(MINIMAL[chart], f"{prefix}serviceAccount", {"create": True, "annotations": {"a.org/role": "x"}})
    manifests = helm.render(chart, values)
    account, job = (manifest for manifest in manifests if is_hook(manifest))
    assert account["kind"] == "ServiceAccount"
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["annotations"] == {**HOOK, "a.org/role": "x", "helm.sh/hook-weight": "-1"}
    assert account["metadata"]["name"] == job["spec"]["template"]["spec"]["serviceAccountName"]
    others = {m["metadata"]["name"] for m in of_kind(manifests, "ServiceAccount") if not is_hook(m)}
    assert account["metadata"]["name"] not in others


def test_disabled_hook_renders_nothing(helm: Helm) -> None:
    """For the release in which a person migrates by hand."""
    assert helm.render(GATE, {**GATE_VALUES, "enabled": False}) == []
    assert not any(is_hook(m) for m in helm.render(APP, overlay(APP_VALUES, "migration.enabled", value=False)))


@pytest.mark.parametrize("given", [{}, {"app.kubernetes.io/name": "sage-app", "app.kubernetes.io/component": "app"}])
def test_nothing_selects_the_hooks_pod(helm: Helm, given: dict[str, str]) -> None:
    """A Service would send it requests, a PodDisruptionBudget would count it; labels of a user change nothing."""
    values = {**APP_VALUES, "podDisruptionBudget": {"enabled": True}, "migration": {"podLabels": given}}
    manifests = helm.render(APP, values)
    labels = the(manifests, "Job")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the(manifests, "Service")["spec"]["selector"],
        the(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        # What `helm create` writes, for a parent chart that knows nothing of components.
        {"app.kubernetes.io/name": "sage-app", "app.kubernetes.io/instance": "orders"},
    ]
    for selector in selectors:
        assert not selector.items() <= labels.items()
