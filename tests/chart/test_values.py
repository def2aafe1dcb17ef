"""Values, their documentation, their schema and their use agree in both directions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import APP, CHARTS, GATE, MINIMAL, Helm, each_chart, overlay

# These hold what Kubernetes defines, which the API server checks: no leaf of theirs is a value of ours.
KUBERNETES = {"resources", "podSecurityContext", "securityContext"}

# For each value another one that has to change what is rendered.
ITEM = [{"name": "other"}]
POD: dict[str, Any] = {
    "resources": {"limits": {"memory": "1Gi"}},
    "podSecurityContext": {"runAsUser": 1},
    "securityContext": {"runAsUser": 1},
    "extraEnv": ITEM,
    "extraEnvFrom": ITEM,
    "extraVolumes": ITEM,
    "extraVolumeMounts": ITEM,
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": ITEM,
    "affinity": {"a": "b"},
    "topologySpreadConstraints": ITEM,
    "priorityClassName": "other",
    "imagePullSecrets": ITEM,
    "extraInitContainers": ITEM,
    "commonLabels": {"a": "b"},
    "commonAnnotations": {"a": "b"},
    "networkPolicy.enabled": True,
    "networkPolicy.database": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    "networkPolicy.databasePort": 1,
    "networkPolicy.extraEgress": [{"ports": [{"port": 443}]}],
    "database.tls.secret": "other",
    "database.tls.caKey": "other",
    "database.tls.certKey": "other",
    "database.tls.keyKey": "other",
    "image.registry": "other",
    "image.repository": "other",
    "image.tag": "other",
    "image.digest": f"sha256:{'0' * 64}",
    "image.pullPolicy": "Never",
    "database.existingSecret": "other",
    "database.existingSecretKey": "other",
    "database.host": "other",
    "database.port": 1,
    "database.name": "other",
    "database.user": "other",
    "database.sslmode": "require",
    "database.passwordSecret.name": "other",
    "database.passwordSecret.key": "other",
    "database.passwordless": True,
    "serviceAccount.name": "other",
    "serviceAccount.annotations": {"a": "b"},
    "fullnameOverride": "other",
}
OTHER: dict[Path, dict[str, Any]] = {
    GATE: {
        **POD,
        "enabled": False,
        "renderedByParent": True,
        "mode": "job",
        "serviceAccount.create": True,
        "deadline": 300,
        "waitTimeout": "1s",
        "lockTimeout": "1ms",
        "stallBudget": "2s",
        "statementTimeout": "9s",
        "ifAhead": "refuse",
        "phase": "expand",
        "requireReview": True,
        "allowUnreviewed": ["other"],
        "reason": "other",
        "online.enabled": True,
        "online.deadline": 9999,
        "online.backoffLimit": 9,
        "fleet.enabled": False,
        "fleet.schemas": "other",
        "fleet.databases": "other",
        "fleet.tenantsFile": "other",
        "fleet.tenantsQuery": "other",
        "fleet.tenantsCommand": "other",
        "fleet.tenantIs": "database",
        "fleet.shards": 7,
        "fleet.shardBy": "size",
        "fleet.parallelism": 2,
        "fleet.backoffLimitPerIndex": 1,
        "fleet.concurrency": 1,
        "fleet.slots": 1,
        "fleet.maxFailures": 1,
        "extraArgs": ["--other"],
        "annotations": {"a": "b"},
    },
    APP: {
        **POD,
        "nameOverride": "other",
        "replicaCount": 1,
        "migration.enabled": False,
        "migration.renderedByParent": None,
        "serviceAccount.create": False,
        "service.type": "NodePort",
        "service.port": 1,
        "service.annotations": {"a": "b"},
        "ingress.enabled": True,
        "ingress.className": "other",
        "ingress.hosts": ["other.example"],
        "ingress.path": "/other",
        "ingress.tls": [{"secretName": "other"}],
        "ingress.annotations": {"a": "b"},
        "networkPolicy.from": [{"podSelector": {}}],
        "autoscaling.enabled": True,
        "autoscaling.minReplicas": 1,
        "autoscaling.maxReplicas": 9,
        "autoscaling.targetCPUUtilizationPercentage": 50,
        "revisionHistoryLimit": 1,
        "extraContainers": ITEM,
        **{
            f"probes.{probe}.{field}": 99
            for probe in ("startup", "readiness", "liveness")
            for field in ("periodSeconds", "timeoutSeconds", "failureThreshold")
        },
        "preStopSleepSeconds": 1,
        "terminationGracePeriodSeconds": 99,
        "podDisruptionBudget.enabled": True,
        "podDisruptionBudget.maxUnavailable": 2,
    },
}
# What has to be there for a value to count: the other way to name the database, an object that is optional.
PARTS = {"existingSecret": "", "host": "h", "name": "n", "user": "u", "passwordSecret": {"name": "s"}}
CONTEXT: dict[str, tuple[str, object]] = {
    **{f"database.{part}": ("database", PARTS) for part in ("host", "port", "name", "user", "sslmode")},
    "database.passwordSecret.name": ("database", PARTS),
    "database.passwordSecret.key": ("database", PARTS),
    "serviceAccount.annotations": ("serviceAccount.create", True),
    "podDisruptionBudget.maxUnavailable": ("podDisruptionBudget.enabled", True),
    "online.deadline": ("online.enabled", True),
    "online.backoffLimit": ("online.enabled", True),
    "ingress.enabled": ("ingress.hosts", ["one.example"]),
    **{
        f"ingress.{field}": ("ingress", {"enabled": True, "hosts": ["one.example"]})
        for field in ("className", "hosts", "path", "tls", "annotations")
    },
    **{
        f"networkPolicy.{field}": ("networkPolicy.enabled", True)
        for field in ("from", "database", "databasePort", "extraEgress")
    },
    **{
        f"autoscaling.{field}": ("autoscaling.enabled", True)
        for field in ("minReplicas", "maxReplicas", "targetCPUUtilizationPercentage")
    },
    "fleet.enabled": ("fleet", {"enabled": True}),
    **{
        f"fleet.{source}": ("fleet", {"enabled": True, source: "one"})
        for source in ("schemas", "databases", "tenantsFile", "tenantsQuery", "tenantsCommand")
    },
    **{
        f"fleet.{field}": ("fleet", {"enabled": True, "schemas": "one", "shards": 5})
        for field in (
            "tenantIs",
            "shards",
            "shardBy",
            "parallelism",
            "backoffLimitPerIndex",
            "concurrency",
            "slots",
            "maxFailures",
        )
    },
    "database.tls.caKey": ("database.tls.secret", "certificates"),
    "database.tls.certKey": ("database.tls", {"secret": "certificates", "certKey": "one", "keyKey": "one"}),
    "database.tls.keyKey": ("database.tls", {"secret": "certificates", "certKey": "one", "keyKey": "one"}),
}


def leaves(values: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield the dotted path of each value."""
    for key, value in values.items():
        path = f"{at}{key}"
        if isinstance(value, dict) and value and path not in KUBERNETES:
            yield from leaves(value, f"{path}.")
        else:
            yield path


def schema_leaves(chart: Path) -> Iterator[str]:
    """Yield the dotted path of each value that the schema knows."""
    schema = json.loads((chart / "values.schema.json").read_text())

    def walk(node: dict[str, Any], at: str) -> Iterator[str]:
        while "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[-1]]
        if "properties" not in node:
            yield at
        for key, child in node.get("properties", {}).items():
            yield from walk(child, f"{at}.{key}" if at else key)

    return walk(schema, "")


def values_of(chart: Path) -> dict[str, Any]:
    """Return the chart's defaults."""
    return dict(yaml.safe_load((chart / "values.yaml").read_text()))


@each_chart
def test_schema_knows_the_values_and_no_others(chart: Path) -> None:
    """Helm itself adds `global`."""
    assert set(schema_leaves(chart)) - {"global"} == set(leaves(values_of(chart)))


@each_chart
def test_every_value_is_documented(chart: Path) -> None:
    """Each has its comment in values.yaml, and so its row in the README that is generated from there."""
    rows = re.findall(r"^\| ([\w.]+) \| .* \| (.*) \|$", (chart / "README.md").read_text(), re.MULTILINE)
    documented = {path for path, description in rows if description.strip()}
    # A comment on an object stands for its fields.
    missing = {p for p in leaves(values_of(chart)) if p not in documented and p.rpartition(".")[0] not in documented}
    assert missing == set()


@each_chart
def test_every_value_is_tried(chart: Path) -> None:
    """The test below leaves none out."""
    assert set(OTHER[chart]) == set(leaves(values_of(chart)))


@pytest.mark.parametrize(("chart", "path"), [(chart, path) for chart in CHARTS for path in OTHER[chart]])
def test_every_value_is_used(helm4: Helm, chart: Path, path: str) -> None:
    """Another value changes what is rendered."""
    before = MINIMAL[chart]
    if path in CONTEXT:
        before = overlay(before, *CONTEXT[path])
    after = overlay(before, path, OTHER[chart][path])
    if path == "database.passwordless":
        before = overlay(overlay(before, "database", PARTS), "database.passwordSecret.name", "")
        assert "database.passwordSecret.name is missing" in helm4.refusal(chart, before)
        helm4.template(chart, overlay(before, path, value=True))
    elif path == "migration.renderedByParent":
        assert "missing property 'renderedByParent'" in helm4.refusal(chart, after)
    elif path == "fleet.enabled":
        assert "fleet names no tenants" in helm4.refusal(chart, before)
        helm4.template(chart, after)
    else:
        assert helm4.template(chart, after) != helm4.template(chart, before)


def objects(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of a schema whose properties are ours, with the way to it."""
    if "properties" in schema:
        yield at, schema
    for key, child in schema.get("properties", {}).items():
        yield from objects(child, f"{at}{key}.")


@each_chart
def test_every_unknown_key_is_refused_by_name(helm: Helm, chart: Path) -> None:
    """A typing error anywhere stops the release, instead of a default that nobody wanted."""
    ways = [way for way, _ in objects(json.loads((chart / "values.schema.json").read_text()))]
    assert "" in ways
    values = MINIMAL[chart]
    for way in ways:
        values = overlay(values, f"{way}unknownKey", 1)
    refusal = helm.refusal(chart, values)
    assert refusal.count("additional properties 'unknownKey' not allowed") == len(ways)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("migration.deadline", 9, "at '/deadline': minimum: got 9, want 10"),
        ("migration.deadline", "240s", "at '/deadline': got string, want integer"),
        ("migration.lockTimeout", "100", "at '/lockTimeout': '100' does not match pattern"),
        ("migration.stallBudget", "-1s", "at '/stallBudget': '-1s' does not match pattern"),
        ("migration.ifAhead", "ignore", "at '/ifAhead': value must be one of 'known', 'refuse', 'accept'"),
        ("migration.renderedByParent", False, "at '/migration/renderedByParent': value must be true"),
        ("image.digest", "latest", "at '/image/digest': 'latest' does not match pattern"),
        ("image.repository", "", "at '/image/repository': minLength: got 0, want 1"),
        ("database.sslmode", "on", "at '/database/sslmode': value must be one of"),
        ("extraEnv", [{"name": "A", "value": True}], "at '/extraEnv/0/value': got boolean, want string"),
        ("podDisruptionBudget.maxUnavailable", 0, "minimum: got 0, want 1"),
    ],
)
def test_value_of_the_wrong_kind_is_refused(helm: Helm, path: str, value: object, message: str) -> None:
    """The schema says which value, and what it may be."""
    assert message in helm.refusal(APP, overlay(MINIMAL[APP], path, value))


@each_chart
def test_global_values_of_an_umbrella_chart_are_accepted(helm: Helm, chart: Path) -> None:
    """They are somebody else's."""
    assert helm.render(chart, {**MINIMAL[chart], "global": {"team": "shop"}})
