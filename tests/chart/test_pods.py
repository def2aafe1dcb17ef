"""What holds for the pods of the service and for the hook's alike."""

from typing import Any

import pytest

from tests.chart.helm import APP, APP_VALUES, Helm, container, environment, overlay, pods, the

each_workload = pytest.mark.parametrize(("kind", "prefix"), [("Deployment", ""), ("Job", "migration.")])
SELECTOR = {"matchLabels": {"a": "b"}}
POD_FIELDS: dict[str, Any] = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "labelSelector": SELECTOR}],
    "priorityClassName": "high",
    "imagePullSecrets": [{"name": "registry"}],
}
PROXY = [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]
CONTAINER_FIELDS: dict[str, Any] = {"resources": {"limits": {"memory": "1Gi"}}}


def test_pods_meet_the_restricted_standard(helm: Helm) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only root."""
    for pod in pods(helm.render(APP, APP_VALUES)):
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for each in pod["spec"]["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@each_workload
def test_platform_may_choose_the_user(helm: Helm, kind: str, prefix: str) -> None:
    """OpenShift assigns the user itself and refuses a fixed one."""
    values = overlay(
        APP_VALUES, f"{prefix}podSecurityContext", {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    )
    pod = the(helm.render(APP, values), kind)["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_pods_get_no_token_and_no_service_variables(helm: Helm) -> None:
    """Neither asks the API server, and a Service named like an option must not set one."""
    for pod in pods(helm.render(APP, APP_VALUES)):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False


@each_workload
@pytest.mark.parametrize("field", POD_FIELDS)
def test_field_of_the_pod_is_passed_on(helm: Helm, kind: str, prefix: str, field: str) -> None:
    """A value of the pod arrives as it was given."""
    values = overlay(APP_VALUES, prefix + field, POD_FIELDS[field])
    assert the(helm.render(APP, values), kind)["spec"]["template"]["spec"][field] == POD_FIELDS[field]


@each_workload
def test_field_of_the_container_is_passed_on(helm: Helm, kind: str, prefix: str) -> None:
    """Resources, environment, volumes and their mounts arrive as they were given."""
    env, source = [{"name": "A", "value": "1"}], [{"secretRef": {"name": "more"}}]
    volumes, mounts = [{"name": "ca", "secret": {"secretName": "ca"}}], [{"name": "ca", "mountPath": "/ca"}]
    given = {"extraEnv": env, "extraEnvFrom": source, "extraVolumes": volumes, "extraVolumeMounts": mounts}
    values = dict(APP_VALUES)
    for name, value in {**given, "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}}.items():
        values = overlay(values, prefix + name, value)
    workload = the(helm.render(APP, values), kind)
    assert environment(workload)["A"] == "1"
    assert container(workload)["envFrom"] == source
    assert container(workload)["volumeMounts"] == mounts
    assert workload["spec"]["template"]["spec"]["volumes"] == volumes
    resources = container(workload)["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["memory"]) == ("2", "1Gi")


@each_workload
def test_proxy_runs_beside_the_container(helm: Helm, kind: str, prefix: str) -> None:
    """A native sidecar: an init container that goes on, and does not keep the Job from ending."""
    values = overlay(APP_VALUES, f"{prefix}extraInitContainers", PROXY)
    pod = the(helm.render(APP, values), kind)["spec"]["template"]["spec"]
    assert pod["initContainers"] == PROXY
    assert len(pod["containers"]) == 1


@each_workload
def test_pod_gets_labels_and_annotations(helm: Helm, kind: str, prefix: str) -> None:
    """A mesh is told in this way to leave the hook alone."""
    values = overlay(APP_VALUES, f"{prefix}podLabels", {"sidecar.istio.io/inject": "false"})
    values = overlay(values, f"{prefix}podAnnotations", {"linkerd.io/inject": "disabled"})
    metadata = the(helm.render(APP, values), kind)["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"] == {"linkerd.io/inject": "disabled"}


def test_arguments_follow_the_command(helm: Helm) -> None:
    """More arguments are those of `upgrade`."""
    values = overlay(APP_VALUES, "migration.extraArgs", ["--phase", "expand"])
    assert container(the(helm.render(APP, values), "Job"))["args"] == ["upgrade", "--phase", "expand"]


@each_workload
def test_digest_wins_over_the_tag(helm: Helm, kind: str, prefix: str) -> None:
    """Registry, repository and digest make the reference; the tag is for people."""
    digest = f"sha256:{'0' * 64}"
    image = {"registry": "registry.example", "repository": "shop/orders", "tag": "1.4.2", "digest": digest}
    workload = the(helm.render(APP, overlay(APP_VALUES, f"{prefix}image", image)), kind)
    assert container(workload)["image"] == f"registry.example/shop/orders@{digest}"
