"""Combinations that cannot work are refused by one sentence each."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import APP, APP_VALUES, CHARTS, GATE, GATE_VALUES, Helm, overlay

PARTS = {"host": "db", "name": "orders", "user": "app", "passwordSecret": {"name": "app"}}
APP_PARTS: dict[str, Any] = {"database": PARTS}
NO_DATABASE = (
    "database is missing: give database.existingSecret, a Secret with the URL, or database.host, name, user and "
    "passwordSecret.name."
)
NOT_YET_THERE = (
    "migration.serviceAccount.name is orders-sage-app, the service account of the application, which this release "
    "creates after the hook: leave it empty or name another."
)

# Chart, values, the whole message.
REFUSALS: dict[str, tuple[Path, dict[str, Any], str]] = {
    "no image": (
        GATE,
        {"database": {"existingSecret": "db"}},
        "image.repository is missing: name the image that holds sage-migrate and your migrations.",
    ),
    "an image without a version": (
        GATE,
        overlay(GATE_VALUES, "image.tag", ""),
        "image.tag is missing: give the tag or the digest of image.repository.",
    ),
    "another image without a version": (
        APP,
        overlay(APP_VALUES, "migration.image.repository", "migrations"),
        "migration.image.tag is missing: give the tag or the digest of migration.image.repository.",
    ),
    "an online run with no more time than the hook": (
        APP,
        overlay(APP_VALUES, "migration.online", {"enabled": True, "deadline": 240}),
        (
            "migration.online.deadline (240) must be longer than migration.deadline (240), or the hook has as much time for the "
            "same."
        ),
    ),
    "no database": (
        APP,
        {},
        NO_DATABASE,
    ),
    "no database for the hook alone": (
        GATE,
        overlay(GATE_VALUES, "database.existingSecret", ""),
        NO_DATABASE,
    ),
    "two databases": (
        APP,
        overlay(APP_PARTS, "database.existingSecret", "orders-db"),
        (
            "database gives both existingSecret and host, name, user, passwordSecret: name a Secret with the URL, or the "
            "parts of the connection, not both."
        ),
    ),
    "two databases for the hook": (
        APP,
        overlay(APP_VALUES, "migration.database", {"existingSecret": "owner", "sslmode": "require"}),
        (
            "migration.database gives both existingSecret and sslmode: name a Secret with the URL, or the parts of the "
            "connection, not both."
        ),
    ),
    "no host": (
        APP,
        overlay(APP_PARTS, "database.host", ""),
        "database.host is missing: without database.existingSecret the parts host, name and user are all needed.",
    ),
    "no database name": (
        APP,
        overlay(APP_PARTS, "database.name", ""),
        "database.name is missing: without database.existingSecret the parts host, name and user are all needed.",
    ),
    "no user": (
        APP,
        overlay(APP_PARTS, "database.user", ""),
        "database.user is missing: without database.existingSecret the parts host, name and user are all needed.",
    ),
    "no password": (
        APP,
        overlay(APP_PARTS, "database.passwordSecret.name", ""),
        (
            "database.passwordSecret.name is missing: name the Secret that holds the password, or set "
            "database.passwordless."
        ),
    ),
    "keys of no Secret": (
        APP,
        overlay(APP_VALUES, "database.tls", {"caKey": "ca.pem"}),
        "database.tls.secret is missing: name the Secret that holds the keys given in database.tls.",
    ),
    "half a client certificate": (
        APP,
        overlay(APP_VALUES, "migration.database.tls", {"secret": "certificates", "certKey": "tls.crt"}),
        "migration.database.tls gives one of certKey and keyKey: a client certificate needs both.",
    ),
    "an Ingress for nobody": (
        APP,
        overlay(APP_VALUES, "ingress.enabled", value=True),
        "ingress.hosts is missing: name the hosts that the Ingress is for.",
    ),
    "more pods than allowed": (
        APP,
        overlay(APP_VALUES, "autoscaling", {"enabled": True, "minReplicas": 9}),
        "autoscaling.minReplicas (9) must not be more than autoscaling.maxReplicas (6).",
    ),
    "lock timeout": (
        APP,
        overlay(APP_VALUES, "migration.lockTimeout", "1000ms"),
        "migration.lockTimeout (1000ms) must be shorter than migration.stallBudget (1s).",
    ),
    "stall budget": (
        APP,
        overlay(APP_VALUES, "migration.stallBudget", "3min"),
        "migration.stallBudget (3min) must be shorter than migration.statementTimeout (180s).",
    ),
    "statement timeout": (
        APP,
        overlay(APP_VALUES, "migration.statementTimeout", "1h"),
        "migration.statementTimeout (1h) must be shorter than migration.deadline (240s).",
    ),
    "wait timeout": (
        GATE,
        overlay(GATE_VALUES, "waitTimeout", "4min"),
        "waitTimeout (4min) must be shorter than deadline (240s).",
    ),
    "deadline": (
        APP,
        overlay(overlay(APP_VALUES, "migration.statementTimeout", "180s"), "migration.deadline", 180),
        "migration.statementTimeout (180s) must be shorter than migration.deadline (180s).",
    ),
    "a fleet without tenants": (
        GATE,
        overlay(GATE_VALUES, "fleet.enabled", value=True),
        "fleet names no tenants: give one of schemas, databases, tenantsFile, tenantsQuery, tenantsCommand.",
    ),
    "two sources of tenants": (
        GATE,
        overlay(GATE_VALUES, "fleet", {"enabled": True, "schemas": "tenant_%", "databases": "shop_%"}),
        "fleet gives schemas, databases: one source of tenants counts.",
    ),
    "tenants of no fleet": (
        GATE,
        overlay(GATE_VALUES, "fleet.schemas", "tenant_%"),
        "fleet.schemas is given and fleet.enabled is false: nothing would be done for any tenant.",
    ),
    "a fleet with an online run": (
        GATE,
        overlay(overlay(GATE_VALUES, "fleet", {"enabled": True, "schemas": "tenant_%"}), "online.enabled", value=True),
        "fleet and online are both enabled: a fleet's revisions are done by the hook alone.",
    ),
    "more shards at a time than there are": (
        GATE,
        overlay(GATE_VALUES, "fleet", {"enabled": True, "schemas": "tenant_%", "shards": 4, "parallelism": 5}),
        "fleet.parallelism (5) must not be more than fleet.shards (4).",
    ),
    "a variable of the hook": (
        APP,
        overlay(APP_VALUES, "migration.extraEnv", [{"name": "SAGE_MIGRATE_DEADLINE", "value": "1h"}]),
        "migration.extraEnv gives SAGE_MIGRATE_DEADLINE, which the chart sets itself or which is there twice.",
    ),
    "a variable of the service": (
        APP,
        {**APP_PARTS, "extraEnv": [{"name": "PGPASSWORD", "value": "x"}]},
        "extraEnv gives PGPASSWORD, which the chart sets itself or which is there twice.",
    ),
    "a variable twice": (
        APP,
        {**APP_VALUES, "extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        "extraEnv gives A, which the chart sets itself or which is there twice.",
    ),
    "the service's account": (
        APP,
        overlay(APP_VALUES, "migration.serviceAccount.name", "orders-sage-app"),
        NOT_YET_THERE,
    ),
    "the service's account made by the hook": (
        APP,
        overlay(APP_VALUES, "migration.serviceAccount", {"create": True, "name": "orders-sage-app"}),
        NOT_YET_THERE,
    ),
    "no time to end": (
        APP,
        {**APP_VALUES, "preStopSleepSeconds": 30},
        "preStopSleepSeconds (30) must be shorter than terminationGracePeriodSeconds (30).",
    ),
}
TWICE = (
    "migration-gate.renderedByParent must be true in a chart that includes migration-gate.hook, or the hook is "
    "rendered twice."
)


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(helm: Helm, case: str) -> None:
    """The message names the value as the user spells it, and what to do."""
    chart, values, message = REFUSALS[case]
    assert helm.refusal(chart, values).endswith(f": {message}")


def test_refused_when_rendered_twice(helm: Helm, tmp_path: Path) -> None:
    """A parent that includes the hook has to say so, or this chart renders it too."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "migration-gate").symlink_to(GATE)
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: orders, version: 0.1.0}")
    (tmp_path / "templates" / "hook.yaml").write_text(
        '{{ include "migration-gate.hook" (dict "gate" (index .Subcharts "migration-gate") "parent" dict) }}'
    )
    assert helm.refusal(tmp_path, {"migration-gate": GATE_VALUES}).endswith(f": {TWICE}")


def test_every_rule_has_a_test() -> None:
    """Each `fail` of the templates is one of the messages above."""
    messages = [message for _, _, message in REFUSALS.values()] + [TWICE]
    for chart in CHARTS:
        for template in chart.rglob("templates/**/*"):
            if not template.is_file():
                continue
            found = re.findall(r"\bfail\b.*", template.read_text())
            assert not found or template.name == "_validate.tpl", f"a rule outside of _validate.tpl: {template}"
            for rule in found:
                if rule.startswith("fail"):
                    (sentence,) = re.findall(r'fail (?:\(printf )?"([^"]+)"', rule)
                    pattern = re.sub("%[sd]", ".*", re.escape(sentence))
                    assert any(re.fullmatch(pattern, message) for message in messages), sentence
