"""One cluster for the session, with every image loaded; a namespace and a database for each test."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.cluster import CI, Cluster
from tests.e2e.database import Database, created
from tests.e2e.release import CHARTS, HELMS, HelmRun, Release

LABEL = "sage-migrate-e2e"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return the cluster, with the images of all releases on its node."""
    # What needs the package indexes comes first, while this process is in the machine's own network.
    subprocess.run([CI / "tools.sh", "kubectl", "helm3", "helm4", "ct"], check=True, stdout=subprocess.DEVNULL)
    images.build()
    with Cluster.up() as cluster:
        images.load(cluster)
        yield cluster
        cluster.kubectl("wait", "--for=delete", "namespace", f"--selector={LABEL}", "--timeout=120s")


@pytest.fixture(scope="session", params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """Each major version of Helm."""
    return str(request.param)


@pytest.fixture(scope="session")
def chart(cluster: Cluster, helm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chart as it is published: one file, with the gate's chart in it."""
    directory = tmp_path_factory.mktemp("charts")
    cluster.run(helm, "package", CHARTS / "sage-app", "--destination", directory)
    (package,) = directory.iterdir()
    return package


@pytest.fixture
def new_namespace(cluster: Cluster) -> Iterator[Callable[[Database], str]]:
    """Make namespaces that hold the URL of a database as the charts want it."""
    with ExitStack() as cleanup:

        def make(database: Database) -> str:
            name = f"e2e-{uuid.uuid4().hex[:8]}"
            cluster.kubectl("create", "namespace", name)
            cleanup.callback(cluster.kubectl, "delete", "namespace", name, "--wait=false")
            cleanup.callback(print_what_happened, cluster, name)
            cluster.kubectl("label", "namespace", name, f"{LABEL}=", "pod-security.kubernetes.io/enforce=restricted")
            url = f"--from-literal=DATABASE_URL={database.url}"
            cluster.kubectl("--namespace", name, "create", "secret", "generic", "database", url)
            return name

        yield make


def print_what_happened(cluster: Cluster, namespace: str) -> None:
    """Print events and logs, for the report of a test that failed: pytest leaves it out of the others."""
    for words in (
        ("get", "pods,jobs", "--output=wide"),
        ("events", "--output=wide"),
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
def new_release(
    cluster: Cluster, helm: str, chart: Path, database: Database, new_namespace: Callable[[Database], str]
) -> Callable[[], Release]:
    """Make releases that are not installed yet, each in a namespace of its own."""

    def make() -> Release:
        return Release(cluster=cluster, helm=helm, chart=chart, namespace=new_namespace(database), database=database)

    return make


@pytest.fixture
def release(new_release: Callable[[], Release]) -> Release:
    """Return one release that is not installed yet."""
    return new_release()


@pytest.fixture
def keep(tmp_path: Path, helm: str) -> Callable[[str, HelmRun], None]:
    """Return a function that files what Helm printed, in the directory that SAGE_E2E_ARTIFACTS names."""
    directory = Path(os.environ.get("SAGE_E2E_ARTIFACTS", tmp_path))
    directory.mkdir(parents=True, exist_ok=True)

    def write(name: str, run: HelmRun) -> None:
        text = f"$ {run.command}\n{run.output}$ echo $?\n{run.exit_status}\n"
        (directory / f"{helm}-{name}.txt").write_text(text, encoding="utf-8")

    return write
