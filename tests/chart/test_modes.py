"""Who runs the Job, and when: Helm, Argo CD, or whoever applies the manifests."""

import re
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
    environment,
    is_hook,
    of_kind,
    overlay,
    the,
)
from tests.chart.test_hook import each_spelling
from tests.chart.test_names import DNS_LABEL, LONGEST

FULL = {"serviceAccount": {"create": True}, "networkPolicy": {"enabled": True}}


def values(mode: str, **gate: object) -> dict[str, object]:
    """Return the values of the sample's release, its gate in a mode."""
    return {**APP_VALUES, "migration": {"mode": mode, **gate}}


def test_argo_cd_runs_the_job_before_the_wave_of_the_release(helm: Helm) -> None:
    """A Sync hook in wave -1; what it needs is an object like any other in wave -2, at the first sync too."""
    manifests = helm.render(APP, values("argocd", **FULL))
    of_gate = [m for m in manifests if m["metadata"]["labels"]["app.kubernetes.io/name"] == "migration-gate"]
    assert {m["kind"]: m["metadata"]["annotations"] for m in of_gate} == {
        "ServiceAccount": {"argocd.argoproj.io/sync-wave": "-2"},
        "NetworkPolicy": {"argocd.argoproj.io/sync-wave": "-2"},
        "Job": {
            "argocd.argoproj.io/hook": "Sync",
            "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation,HookSucceeded",
            "argocd.argoproj.io/sync-wave": "-1",
        },
    }


def test_flux_is_not_asked_for_a_log(helm: Helm) -> None:
    """The same release as Helm's own but for one annotation, on the Job and on the test."""
    policy = "helm.sh/hook-output-log-policy"
    of_helm, of_flux = (helm.render(APP, values(mode, **FULL)) for mode in ("helm", "flux"))
    asked = [
        m["metadata"]["annotations"].pop(policy) for m in of_helm if policy in m["metadata"].get("annotations", {})
    ]
    assert asked == ["hook-failed", "hook-failed"]
    assert of_flux == of_helm


@pytest.mark.parametrize("mode", ["argocd", "job"])
def test_helm_sees_no_hook_in_another_mode(helm: Helm, mode: str) -> None:
    """Argo CD would take a Helm hook for one of its own, and `kubectl apply` for nothing."""
    assert not any(is_hook(m) for m in helm.render(APP, values(mode, **FULL)))


@each_spelling
def test_user_cannot_change_what_makes_it_argo_cds(helm: Helm, chart: Path, prefix: str) -> None:
    """The annotations of the mode are merged last."""
    given = overlay(MINIMAL[chart], f"{prefix}mode", "argocd")
    given = overlay(given, f"{prefix}annotations", {"argocd.argoproj.io/sync-wave": "5"})
    assert the(helm.render(chart, given), "Job")["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] == "-1"


def test_plain_job_is_named_after_its_content(helm: Helm) -> None:
    """A Job cannot be changed: the same content is the same Job, another one another."""
    first, again = (the(helm.render(APP, values("job")), "Job") for _ in range(2))
    assert first == again
    assert re.fullmatch(r"orders-sage-app-migrate-[0-9a-f]{8}", first["metadata"]["name"])
    assert "annotations" not in first["metadata"]
    other = the(helm.render(APP, values("job", deadline=300)), "Job")
    assert other["metadata"]["name"] != first["metadata"]["name"]
    next_release = the(helm.render(APP, {**values("job"), "image": {"tag": "2"}}), "Job")
    assert next_release["metadata"]["name"] not in (first["metadata"]["name"], other["metadata"]["name"])


def test_plain_jobs_longest_name_is_still_a_name(helm: Helm) -> None:
    """Its pods are labelled with it."""
    for manifest in helm.render(APP, values("job", **FULL), release=LONGEST):
        assert DNS_LABEL.fullmatch(manifest["metadata"]["name"])


def test_plain_job_runs_as_the_application(helm: Helm) -> None:
    """Everything is applied at once, so the account of the service may be used; an own one is an object like it."""
    manifests = helm.render(APP, values("job"))
    assert the(manifests, "Job")["spec"]["template"]["spec"]["serviceAccountName"] == "orders-sage-app"
    named = helm.render(APP, values("job", serviceAccount={"name": "orders-sage-app"}))
    assert the(named, "Job")["spec"]["template"]["spec"]["serviceAccountName"] == "orders-sage-app"
    own = helm.render(APP, values("job", serviceAccount={"create": True}))
    assert {m["metadata"]["name"] for m in of_kind(own, "ServiceAccount")} == {
        "orders-sage-app",
        "orders-sage-app-migrate",
    }


def test_modes_differ_in_nothing_else(helm: Helm) -> None:
    """The pod is the same, but for the account that exists when it starts."""
    given = {"serviceAccount": {"name": "migrator"}}
    specs = [the(helm.render(APP, values(mode, **given)), "Job")["spec"] for mode in ("helm", "flux", "argocd", "job")]
    assert all(spec == specs[0] for spec in specs)


def test_policy_lets_the_hook_reach_names_and_database_alone(helm: Helm) -> None:
    """It selects the hook's pod, is made before the Job, and lets nobody in."""
    to = [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    gate = {"networkPolicy": {"enabled": True, "database": to, "databasePort": 6432}}
    manifests = helm.render(APP, {**APP_VALUES, "migration": gate})
    policy = the(manifests, "NetworkPolicy")
    assert policy["metadata"]["annotations"]["helm.sh/hook-weight"] == "-1"
    assert policy["spec"]["ingress"] == []
    assert policy["spec"]["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 6432, "protocol": "TCP"}], "to": to},
    ]
    labels = the(manifests, "Job")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
@pytest.mark.parametrize(
    "database",
    [
        {"existingSecret": "orders-db"},
        {"host": "db", "name": "orders", "user": "app", "passwordSecret": {"name": "app"}},
    ],
)
def test_certificates_of_the_database(helm: Helm, kind: str, database: dict[str, object]) -> None:
    """They are mounted so that libpq accepts the key, and the server is verified unless somebody says otherwise."""
    tls = {"secret": "certificates", "certKey": "tls.crt", "keyKey": "tls.key"}
    workload = the(helm.render(APP, {"database": {**database, "tls": tls}}), kind)
    variables = environment(workload)
    assert {name: value for name, value in variables.items() if name.startswith("PGSSL")} == {
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/database-tls/ca.crt",
        "PGSSLCERT": "/etc/database-tls/tls.crt",
        "PGSSLKEY": "/etc/database-tls/tls.key",
    }
    mount = {"name": "database-tls", "mountPath": "/etc/database-tls", "readOnly": True}
    assert container(workload)["volumeMounts"] == [mount]
    volume = {"name": "database-tls", "secret": {"secretName": "certificates", "defaultMode": 0o440}}
    assert workload["spec"]["template"]["spec"]["volumes"] == [volume]


def test_hook_alone_may_have_certificates(helm: Helm) -> None:
    """As every other part of the database: the hook's own where given, else the application's."""
    given = {"database": {"existingSecret": "app", "tls": {"secret": "of-app"}}}
    own = {**given, "migration": {"database": {"existingSecret": "owner", "tls": {"secret": "of-owner"}}}}
    inherited = {**given, "migration": {"database": {"existingSecret": "owner"}}}
    for values_, secret in ((own, "of-owner"), (inherited, "of-app")):
        (volume,) = the(helm.render(APP, values_), "Job")["spec"]["template"]["spec"]["volumes"]
        assert volume["secret"]["secretName"] == secret


def test_chart_alone_renders_each_mode(helm: Helm) -> None:
    """Without a parent too."""
    for mode in ("helm", "flux", "argocd", "job"):
        assert of_kind(helm.render(GATE, {**GATE_VALUES, "mode": mode}), "Job")
