"""Another service reuses the gate, in the two ways that the guide shows; the Dockerfiles are the guide's."""

import json
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.docs.pages import DOCS, REPOSITORY, fences
from tests.e2e.cluster import Cluster
from tests.e2e.database import Database
from tests.e2e.release import Release, succeeded
from tests.e2e.services import ADOPTION, BASE, CHARTS, FROM_THE_RUNNER, WITH_THE_PACKAGE, Service, make_project

# The base of the project's own images, which is to be had wherever these tests run.
(PYTHON,) = re.findall(
    r"^ARG PYTHON_IMAGE=(\S+)$", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
)
(JOB, ONLINE_JOB) = (
    text for page in ("guide.md", "online.md") for text in fences(DOCS / page, "yaml") if "kind: Job" in text
)


@pytest.fixture(scope="session")
def with_the_package(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a service's own image with the package in it, and an env.py that imports its models and uses psycopg."""
    context = tmp_path_factory.mktemp("with-the-package")
    make_project(context, "generic")
    (context / "orders.py").write_bytes((ADOPTION / "orders.py").read_bytes())
    env = context / "migrations" / "env.py"
    models = "from orders import Base\n\ntarget_metadata = Base.metadata"
    env.write_text(env.read_text(encoding="utf-8").replace("target_metadata = None", models), encoding="utf-8")
    pins = (REPOSITORY / "requirements-dev.txt").read_text(encoding="utf-8")
    wanted = re.findall(r"^(?:alembic|sqlalchemy|psycopg|psycopg-binary)==\S+", pins, re.MULTILINE)
    (context / "requirements.txt").write_text("\n".join(wanted), encoding="utf-8")
    wheel = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", context, REPOSITORY / "runner")
    subprocess.run([sys.executable, "-m", "pip", *wheel], check=True, capture_output=True)
    dockerfile = WITH_THE_PACKAGE.replace("FROM python:3.13-slim\n", f"FROM {PYTHON}\n")
    (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    cluster.build_image("orders:with-the-package", context)
    return "orders:with-the-package"


@pytest.mark.parametrize(
    ("manifest", "name"), [(JOB, "migrate"), (ONLINE_JOB, "migrate-online")], ids=["gate", "online"]
)
def test_image_from_the_runner_migrates_as_a_plain_job(  # noqa: PLR0913, PLR0917  fixtures
    manifest: str,
    name: str,
    cluster: Cluster,
    orders: Service,
    database: Database,
    new_namespace: Callable[[Database], str],
) -> None:
    """The pages' manifests, without a chart; the guide's has no command of its own: entrypoint and directory are the image's."""
    namespace = new_namespace(database)
    job = manifest.replace("orders:1.4.2", f"{orders.name}:{BASE}")
    assert job != manifest
    cluster.kubectl("--namespace", namespace, "apply", "--filename=-", stdin=job)
    finished = "--for=jsonpath={.status.conditions[*].type}"
    cluster.kubectl("--namespace", namespace, "wait", f"job/{name}", finished, "--timeout=60s")
    log = cluster.kubectl("--namespace", namespace, "logs", f"job/{name}")
    assert json.loads(log.splitlines()[-1])["exit_status"] == 0, log
    assert (database.versions(), database.has_table("orders")) == (["0de500000001"], True)


def test_service_with_the_package_migrates_in_the_hook(release: Release, with_the_package: str) -> None:
    """The hook alone, as the chart migration-gate, with an image that is somebody else's."""
    repository, _, tag = with_the_package.rpartition(":")
    image = f"image.repository={repository},image.tag={tag},image.pullPolicy=Never"
    settings = ("--set", f"{image},database.existingSecret=database")
    succeeded(release.start("install", "orders", CHARTS / "migration-gate", *settings).wait())
    assert release.database.versions() == ["0de500000001"]
    assert release.database.has_table("orders")


def test_values_that_adopt_the_gate_are_few() -> None:
    """At most ten lines beside the dependency, and no template: each release of `orders` in these tests is made so."""
    values = (ADOPTION / "chart" / "values.yaml").read_text(encoding="utf-8")
    assert len(values[values.index("migration:") :].splitlines()) <= 10
    for template in (ADOPTION / "chart" / "templates").iterdir():
        assert "migration" not in template.read_text(encoding="utf-8")


def test_guide_names_the_runner_that_was_built() -> None:
    """What the guide's reader copies is what the other tests ran."""
    assert f"FROM sage-migrate:{BASE}\n" in FROM_THE_RUNNER
