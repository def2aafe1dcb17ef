"""One cluster and each service for the session, with its images loaded; a namespace and a database for each test."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.database import Database, created
from tests.e2e.images import DERIVED, cluster_with_sample, derive
from tests.e2e.recipes import make_recipe_service
from tests.e2e.release import HELMS, HelmRun, Release, create_namespace
from tests.e2e.services import SAMPLE, Service, make_new_service, make_orders

LABEL = "sage-migrate-e2e"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return the cluster, with the images of the sample on its node."""
    with cluster_with_sample() as cluster:
        derive(cluster, SAMPLE, *DERIVED)
        yield cluster
        cluster.kubectl("wait", "--for=delete", "namespace", f"--selector={LABEL}", "--timeout=120s")


@pytest.fixture(scope="session", params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """Each major version of Helm."""
    return str(request.param)


@pytest.fixture(scope="session")
def sample(cluster: Cluster) -> Service:
    """Return the sample, whose images come with the cluster."""
    return SAMPLE


@pytest.fixture(scope="session")
def orders(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Return a service that is not ours, and that adopted the gate."""
    service = make_orders(cluster, tmp_path_factory.mktemp("orders"))
    derive(cluster, service, "summary", "archive", "mistake", "slow")
    return service


@pytest.fixture(scope="session")
def new_service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Return a service as `sage-migrate init` leaves it."""
    service = make_new_service(cluster, tmp_path_factory.mktemp("new") / "order-intake")
    derive(cluster, service, "summary", "archive", "mistake")
    return service


@pytest.fixture(scope="session")
def recipe_service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Return the sample as the releases of the recipes change it."""
    return make_recipe_service(cluster, tmp_path_factory.mktemp("recipes"))


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Service:
    """Return what is released: the sample, or what a test names."""
    found = request.getfixturevalue(getattr(request, "param", "sample"))
    assert isinstance(found, Service)
    return found


@pytest.fixture(scope="session")
def chart(cluster: Cluster, helm: str, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chart as it is published: one file, with the gate's chart in it."""
    directory = tmp_path_factory.mktemp("charts")
    cluster.run(helm, "package", service.chart, "--destination", directory)
    (package,) = directory.iterdir()
    return package


@pytest.fixture
def new_namespace(cluster: Cluster) -> Iterator[Callable[[Database], str]]:
    """Make namespaces that hold the URL of a database as the charts want it."""
    with ExitStack() as cleanup:

        def make(database: Database) -> str:
            name = f"e2e-{uuid.uuid4().hex[:8]}"
            create_namespace(cluster, name, database)
            cleanup.callback(cluster.kubectl, "delete", "namespace", name, "--wait=false")
            cleanup.callback(print_what_happened, cluster, name)
            cluster.kubectl("label", "namespace", name, f"{LABEL}=", "pod-security.kubernetes.io/enforce=restricted")
            return name

        yield make


def print_what_happened(cluster: Cluster, namespace: str) -> None:
    """Print events and logs, for the report of a test that failed: pytest leaves it out of the others."""
    for words in (
        ("get", "pods,jobs", "--output=wide"),
        ("events",),
        ("logs", "--selector=!none", "--all-containers", "--prefix", "--tail=30"),
    ):
        done = cluster.run("kubectl", "--namespace", namespace, *words, check=False)
        print(f"$ kubectl {' '.join(words)}\n{done.stdout}{done.stderr}")  # noqa: T201


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    """Return an empty database."""
    with created(f"e2e_{uuid.uuid4().hex[:8]}", cluster.database) as database:
        yield database


@pytest.fixture
def new_release(  # noqa: PLR0913, PLR0917  what a release is made of
    cluster: Cluster,
    helm: str,
    service: Service,
    chart: Path,
    database: Database,
    new_namespace: Callable[[Database], str],
) -> Callable[[], Release]:
    """Make releases that are not installed yet, each in a namespace of its own."""

    def make() -> Release:
        namespace = new_namespace(database)
        return Release(cluster=cluster, helm=helm, service=service, chart=chart, namespace=namespace, database=database)

    return make


@pytest.fixture
def release(new_release: Callable[[], Release]) -> Release:
    """Return one release that is not installed yet."""
    return new_release()


@pytest.fixture
def keep(tmp_path: Path, helm: str, service: Service) -> Callable[[str, HelmRun], None]:
    """Return a function that files what Helm printed, in the directory that SAGE_E2E_ARTIFACTS names."""
    directory = Path(os.environ.get("SAGE_E2E_ARTIFACTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)

    def write(name: str, run: HelmRun) -> None:
        text = f"$ {run.command}\n{run.output}$ echo $?\n{run.exit_status}\n"
        (directory / f"{helm}-{service.name}-{name}.txt").write_text(text, encoding="utf-8")

    return write
