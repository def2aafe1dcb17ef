"""The services that the tests release: the sample, one that is not ours and adopts the gate, one that init has made."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from sage_migrate import cli

from tests.docs.pages import DOCS, fences
from tests.e2e.cluster import Cluster

HERE = Path(__file__).resolve().parent
CHARTS = HERE.parents[1] / "charts"
# What the chart runs by default, so that chart-testing needs no values for it; and the first image of each service.
BASE: str = yaml.safe_load((CHARTS / "sage-app" / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
FROM_THE_RUNNER, WITH_THE_PACKAGE = fences(DOCS / "guide.md", "dockerfile")
ADOPTION = HERE / "adoption"
# Another service than the sample: a package and models of other names, another forge, other settings of the driver.
ANSWERS = {
    "package": "intake",
    "model": "LineItem",
    "owner": "Customer",
    "pool_size": "3",
    "max_overflow": "2",
    "statement_timeout_seconds": "5",
    "ci": "gitlab",
    "created": "2026-11-25",
    "first_revision": "1e5a00000001",
}


@dataclass(frozen=True, kw_only=True)
class Service:
    """What differs between them. The release of each is called "shop"."""

    name: str
    """Of its chart and of its image's repository."""
    chart: Path
    settings: tuple[str, ...] = ()
    """How Helm is told what the tests need."""
    tags: tuple[str, ...] = ("image.tag",)
    """The values that name a release's tag."""
    fullname: str = "shop"
    """Of its Deployment and its Service."""
    head: str
    """Where its first image leads to."""
    table: str
    """The table that the next releases alter, with a title in it."""
    owners: str
    """A path to which the load posts something first."""
    things: str
    """A path to post to and read from, with the id of what was posted first."""

    @property
    def migration(self) -> str:
        """The name of the hook's Job."""
        return f"{self.fullname}-migrate"


SAMPLE = Service(
    name="sage-app",
    chart=CHARTS / "sage-app",
    settings=("--values", "values.yaml"),
    fullname="shop-sage-app",
    head="f27a0e4dc869",
    table="conversations",
    owners="/organizations",
    things="/organizations/{id}/conversations",
)


def make_project(directory: Path, template: str) -> None:
    """Make what `alembic init` makes, with one revision."""
    command = (sys.executable, "-m", "alembic", "init", "--template", template, "migrations")
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    revision = directory / "migrations" / "versions" / "create_orders.py"
    revision.write_bytes((ADOPTION / "create_orders.py").read_bytes())


def make_orders(cluster: Cluster, directory: Path) -> Service:
    """Build the image of a service of its own: the guide's Dockerfile, and the program that serves."""
    make_project(directory, "async")
    (directory / "serve_orders.py").write_bytes((ADOPTION / "serve_orders.py").read_bytes())
    (directory / "Dockerfile").write_text(f"{FROM_THE_RUNNER}COPY serve_orders.py ./\n", encoding="utf-8")
    cluster.build_image(f"orders:{BASE}", directory)
    return Service(
        name="orders",
        chart=ADOPTION / "chart",
        tags=("image.tag", "migration.image.tag"),
        head="0de500000001",
        table="orders",
        owners="/orders",
        things="/orders",
    )


def make_new_service(cluster: Cluster, directory: Path) -> Service:
    """Render a service by `sage-migrate init`, and build its image and its chart as its people would."""
    answers = [f"--data={name}={answer}" for name, answer in ANSWERS.items()]
    assert cli.main(["init", str(directory), "--defaults", *answers]) == 0
    (directory / "chart" / "charts").mkdir()
    (directory / "chart" / "charts" / "migration-gate").symlink_to(CHARTS / "migration-gate")
    cluster.build_image(f"{directory.name}:{BASE}", directory)
    return Service(
        name=directory.name,
        chart=directory / "chart",
        settings=("--set", "database.existingSecret=database"),
        head=ANSWERS["first_revision"],
        table="line_items",
        owners="/customers",
        things="/customers/{id}/line_items",
    )
