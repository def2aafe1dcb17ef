"""The objects of the service."""

from typing import Any

import pytest

from tests.chart.helm import APP, APP_VALUES, Helm, container, environment, is_hook, of_kind, overlay, pods, the

PARTS = {
    "host": "db.example",
    "name": "orders",
    "user": "orders",
    "sslmode": "verify-full",
    "passwordSecret": {"name": "orders-password"},
}


def test_no_pod_goes_before_another_is_ready(helm: Helm) -> None:
    """A rolling update never takes capacity away, and a leaving pod serves until every node knows."""
    spec = the(helm.render(APP, APP_VALUES), "Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    pod = spec["template"]["spec"]
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 0 < sleep < pod["terminationGracePeriodSeconds"]


def test_pre_stop_sleep_can_be_left_out(helm: Helm) -> None:
    """Kubernetes refuses a sleep of 0 seconds before 1.32."""
    assert "lifecycle" not in container(the(helm.render(APP, {**APP_VALUES, "preStopSleepSeconds": 0}), "Deployment"))


def test_only_readiness_asks_the_database(helm: Helm) -> None:
    """A database that is down unreadies a pod that never saw its schema, and restarts none."""
    app = container(the(helm.render(APP, APP_VALUES), "Deployment"))
    paths = {probe: app[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


def test_service_reaches_the_pods(helm: Helm) -> None:
    """Selector and port name are those of the pods."""
    manifests = helm.render(APP, {**APP_VALUES, "service": {"type": "NodePort", "port": 8080}})
    service, pod = the(manifests, "Service")["spec"], the(manifests, "Deployment")["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["type"] == "NodePort"
    assert service["ports"] == [{"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"}]
    assert pod["spec"]["containers"][0]["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]


def test_user_cannot_take_the_pods_out_of_the_service(helm: Helm) -> None:
    """The labels that are selected by are merged last."""
    manifests = helm.render(APP, overlay(APP_VALUES, "podLabels", {"app.kubernetes.io/component": "other"}))
    pod = the(manifests, "Deployment")["spec"]["template"]
    assert the(manifests, "Service")["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("given", "created", "used"),
    [
        ({}, ["orders-sage-app"], "orders-sage-app"),
        ({"name": "web"}, ["web"], "web"),
        ({"create": False}, [], "default"),
        ({"create": False, "name": "web"}, [], "web"),
    ],
)
def test_service_account(helm: Helm, given: dict[str, Any], created: list[str], used: str) -> None:
    """The account is created, or one that exists is used; it never is a hook."""
    manifests = helm.render(APP, {**APP_VALUES, "serviceAccount": given})
    accounts = of_kind(manifests, "ServiceAccount")
    assert [account["metadata"]["name"] for account in accounts] == created
    assert not any(is_hook(account) for account in accounts)
    assert the(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == used


def test_service_account_annotations(helm: Helm) -> None:
    """For workload identity."""
    values = overlay(APP_VALUES, "serviceAccount.annotations", {"example.org/role": "reader"})
    assert the(helm.render(APP, values), "ServiceAccount")["metadata"]["annotations"] == {"example.org/role": "reader"}


def test_disruption_budget_is_optional(helm: Helm) -> None:
    """Without it nothing is rendered; with it the pods of the service are counted."""
    assert of_kind(helm.render(APP, APP_VALUES), "PodDisruptionBudget") == []
    values = {**APP_VALUES, "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"}}
    manifests = helm.render(APP, values)
    budget = the(manifests, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == "50%"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["selector"] == the(manifests, "Deployment")["spec"]["selector"]


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_database_by_a_secret_with_a_url(helm: Helm, kind: str) -> None:
    """The key can be chosen, and nothing else about the database is set."""
    values = {"database": {"existingSecret": "orders-db", "existingSecretKey": "url"}}
    variables = environment(the(helm.render(APP, values), kind))
    assert variables["DATABASE_URL"] == {"secretKeyRef": {"name": "orders-db", "key": "url"}}
    assert not any(name.startswith("PG") for name in variables)


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_database_by_its_parts(helm: Helm, kind: str) -> None:
    """The parts become libpq's variables, which asyncpg and the runner read too."""
    variables = environment(the(helm.render(APP, {"database": PARTS}), kind))
    assert {name: value for name, value in variables.items() if not name.startswith("SAGE")} == {
        "PGHOST": "db.example",
        "PGPORT": "5432",
        "PGDATABASE": "orders",
        "PGUSER": "orders",
        "PGSSLMODE": "verify-full",
        "PGPASSWORD": {"secretKeyRef": {"name": "orders-password", "key": "password"}},
    }


def test_database_without_a_password(helm: Helm) -> None:
    """A certificate, a token, or a variable that the user brings."""
    values = {
        "database": {"host": "db", "name": "orders", "user": "orders", "passwordless": True},
        "extraEnv": [{"name": "PGPASSFILE", "value": "/secrets/pgpass"}],
    }
    variables = environment(the(helm.render(APP, values), "Deployment"))
    assert "PGPASSWORD" not in variables
    assert "PGSSLMODE" not in variables
    assert variables["PGPASSFILE"] == "/secrets/pgpass"


def test_autoscaler_decides_the_number_of_pods(helm: Helm) -> None:
    """Without replicas in the Deployment, or each upgrade would set them back."""
    values = {**APP_VALUES, "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 5}}
    manifests = helm.render(APP, values)
    assert "replicas" not in the(manifests, "Deployment")["spec"]
    autoscaler = the(manifests, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == the(manifests, "Deployment")["metadata"]["name"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 5)


def test_ingress_leads_to_the_service(helm: Helm) -> None:
    """Each host, by the name of the Service's port."""
    tls = [{"hosts": ["a.example"], "secretName": "a-tls"}]
    given = {"enabled": True, "className": "nginx", "hosts": ["a.example", "b.example"], "tls": tls}
    manifests = helm.render(APP, {**APP_VALUES, "ingress": given})
    ingress, service = the(manifests, "Ingress")["spec"], the(manifests, "Service")
    assert (ingress["ingressClassName"], ingress["tls"]) == ("nginx", tls)
    assert [rule["host"] for rule in ingress["rules"]] == ["a.example", "b.example"]
    for rule in ingress["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "http"}}


def test_common_labels_and_annotations_are_on_every_object(helm: Helm) -> None:
    """Also on the hook's and on pods; what a selector reads cannot be changed by them."""
    labels = {"team": "shop", "app.kubernetes.io/name": "other", "app.kubernetes.io/component": "other"}
    values = {
        **APP_VALUES,
        "commonLabels": labels,
        "commonAnnotations": {"owner": "shop"},
        "podDisruptionBudget": {"enabled": True},
        "networkPolicy": {"enabled": True},
        "migration": {"networkPolicy": {"enabled": True}, "serviceAccount": {"create": True}},
    }
    manifests = helm.render(APP, values)
    for manifest in [*manifests, *pods(manifests)]:
        assert manifest["metadata"]["labels"]["team"] == "shop"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] in ("sage-app", "migration-gate")
        assert manifest["metadata"]["annotations"]["owner"] == "shop"
    assert {m["kind"] for m in manifests if is_hook(m)} == {"ServiceAccount", "NetworkPolicy", "Job"}


def test_helm_test_asks_schema_and_api(helm: Helm) -> None:
    """A pod that no Service selects runs `status` and asks for readiness through the Service."""
    manifests = helm.render(APP, APP_VALUES)
    pod = the(manifests, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    schema, api = pod["spec"]["containers"]
    assert schema["command"] == ["sage-migrate", "status"]
    assert "http://orders-sage-app:80/readyz" in api["command"][-1]
    assert not the(manifests, "Service")["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
