"""The images of the releases: the project's own, and one for each next version of the sample application."""

import subprocess

import yaml

from tests.e2e.cluster import CI, Cluster
from tests.e2e.release import CHARTS, HERE

REVISIONS = HERE / "revisions"
# What the chart runs by default, so that chart-testing needs no values for it.
BASE: str = yaml.safe_load((CHARTS / "sage-app" / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
# The tag of each derived image, and the revisions that it has beside the sample application's own.
DERIVED = {
    "summary": ("add_a_summary",),
    "archive": ("add_a_summary", "archive"),
    "mistake": ("add_a_summary", "archive_with_a_mistake"),
    "slow": ("add_a_summary", "archive_too_slowly"),
    "waiting": ("wait_for_the_test",),
}


def build() -> None:
    """Build the images of the project's own Dockerfile."""
    subprocess.run([CI / "images.sh", "all", BASE], check=True)


def load(cluster: Cluster) -> None:
    """Take them to the cluster, and the derived ones too."""
    subprocess.run([CI / "cluster.sh", "load", f"sage-app:{BASE}", f"sage-migrate:{BASE}"], check=True)
    for tag, revisions in DERIVED.items():
        texts = {name: (REVISIONS / f"{name}.py").read_text(encoding="utf-8") for name in revisions}
        files = {f"migrations/versions/{name}.py": text for name, text in texts.items()}
        cluster.derive_image(f"sage-app:{tag}", base=f"sage-app:{BASE}", files=files)
