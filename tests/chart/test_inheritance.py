"""What the hook takes over from the chart that renders it, and what its own values replace."""

from typing import Any

import pytest

from tests.chart.helm import APP, Helm, container, environment, the

DIGEST = f"sha256:{'0' * 64}"
URL = {"existingSecret": "orders-db", "existingSecretKey": "url"}
PARTS = {"host": "db", "name": "orders", "user": "app", "sslmode": "require", "passwordSecret": {"name": "app"}}


def secret(name: str, key: str) -> dict[str, Any]:
    """Return how a variable refers to a key of a Secret."""
    return {"secretKeyRef": {"name": name, "key": key}}


@pytest.mark.parametrize(
    ("of_app", "of_hook", "expected"),
    [
        pytest.param({}, {}, "sage-app:0.1.0", id="nothing given"),
        pytest.param({"tag": "2"}, {}, "sage-app:2", id="the app's tag"),
        pytest.param({"tag": "2"}, {"tag": "3"}, "sage-app:3", id="a tag of its own"),
        pytest.param({"digest": DIGEST}, {}, f"sage-app@{DIGEST}", id="the app's digest"),
        pytest.param({"digest": DIGEST}, {"tag": "3"}, "sage-app:3", id="a tag replaces the app's digest"),
        pytest.param({"registry": "r.example"}, {"tag": "3"}, "r.example/sage-app:3", id="the app's registry"),
        pytest.param({"tag": "2"}, {"repository": "m", "tag": "3"}, "m:3", id="an image of its own"),
    ],
)
def test_image(helm: Helm, of_app: dict[str, str], of_hook: dict[str, str], expected: str) -> None:
    """Tag and digest are replaced together, so that no image is run that nobody named."""
    values = {"database": URL, "image": of_app, "migration": {"image": of_hook}}
    job = the(helm.render(APP, values), "Job")
    assert container(job)["image"] == expected
    assert environment(job)["SAGE_MIGRATE_IMAGE"] == expected


@pytest.mark.parametrize(
    ("of_app", "of_hook", "expected"),
    [
        pytest.param(URL, {}, {"DATABASE_URL": secret("orders-db", "url")}, id="the app's Secret"),
        pytest.param(
            URL,
            {"existingSecretKey": "owner-url"},
            {"DATABASE_URL": secret("orders-db", "owner-url")},
            id="another key of the app's Secret",
        ),
        pytest.param(
            URL, {"existingSecret": "owner"}, {"DATABASE_URL": secret("owner", "url")}, id="a Secret of its own"
        ),
        pytest.param(
            PARTS,
            {"existingSecret": "owner"},
            {"DATABASE_URL": secret("owner", "DATABASE_URL")},
            id="a Secret in place of the app's parts",
        ),
        pytest.param(
            PARTS,
            {"user": "owner", "passwordSecret": {"name": "owner", "key": "pw"}},
            {
                "PGHOST": "db",
                "PGPORT": "5432",
                "PGDATABASE": "orders",
                "PGUSER": "owner",
                "PGSSLMODE": "require",
                "PGPASSWORD": secret("owner", "pw"),
            },
            id="a role of its own",
        ),
        pytest.param(
            URL,
            {"host": "direct", "port": 6432, "name": "o", "user": "owner", "passwordSecret": {"name": "owner"}},
            {
                "PGHOST": "direct",
                "PGPORT": "6432",
                "PGDATABASE": "o",
                "PGUSER": "owner",
                "PGPASSWORD": secret("owner", "password"),
            },
            id="parts in place of the app's Secret",
        ),
    ],
)
def test_database(helm: Helm, of_app: dict[str, Any], of_hook: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each part not given is the app's; the two ways to name a database are never mixed."""
    manifests = helm.render(APP, {"database": of_app, "migration": {"database": of_hook}})
    variables = environment(the(manifests, "Job"))
    assert {name: value for name, value in variables.items() if not name.startswith("SAGE")} == expected


@pytest.mark.parametrize(
    ("of_app", "of_hook", "expected"),
    [
        pytest.param({"create": True}, {}, "default", id="the app's does not exist yet"),
        pytest.param({"create": False, "name": "web"}, {}, "web", id="the app's exists"),
        pytest.param({"create": True}, {"name": "migrator"}, "migrator", id="another that exists"),
        pytest.param({"create": False, "name": "web"}, {"name": "migrator"}, "migrator", id="not the app's"),
        pytest.param({"create": True}, {"create": True}, "orders-sage-app-migrate", id="created for the hook"),
    ],
)
def test_service_account(helm: Helm, of_app: dict[str, Any], of_hook: dict[str, Any], expected: str) -> None:
    """The app's account is used where it exists before the hook of the first install."""
    values = {"database": URL, "serviceAccount": of_app, "migration": {"serviceAccount": of_hook}}
    assert the(helm.render(APP, values), "Job")["spec"]["template"]["spec"]["serviceAccountName"] == expected


@pytest.mark.parametrize(("of_app", "of_hook", "expected"), [("Always", "", "Always"), ("Always", "Never", "Never")])
def test_pull_policy(helm: Helm, of_app: str, of_hook: str, expected: str) -> None:
    """The app's policy, unless the hook has one."""
    image = {"image": {"pullPolicy": of_hook}}
    manifests = helm.render(APP, {"database": URL, "image": {"pullPolicy": of_app}, "migration": image})
    assert container(the(manifests, "Job"))["imagePullPolicy"] == expected


@pytest.mark.parametrize(("of_hook", "expected"), [([], "registry"), ([{"name": "other"}], "other")])
def test_pull_secrets(helm: Helm, of_hook: list[dict[str, str]], expected: str) -> None:
    """The app's pull secrets, unless the hook has some."""
    values = {"database": URL, "imagePullSecrets": [{"name": "registry"}], "migration": {"imagePullSecrets": of_hook}}
    pod = the(helm.render(APP, values), "Job")["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": expected}]
