"""The images of the releases: the project's own, and the next ones of a service, with the same revisions for each."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.e2e.cluster import CI, Cluster
from tests.e2e.services import BASE, HERE, SAMPLE, Service

REVISIONS = HERE / "revisions"
# The tag of each derived image, and the revisions that it has beside the service's own.
DERIVED = {
    "summary": ("add_a_summary",),
    "archive": ("add_a_summary", "archive"),
    "mistake": ("add_a_summary", "archive_with_a_mistake"),
    "slow": ("add_a_summary", "archive_too_slowly"),
    "waiting": ("wait_for_the_test",),
    "unfilled": ("add_a_summary", "default_the_summary", "fill_the_summary"),
    "required": ("add_a_summary", "default_the_summary", "fill_the_summary", "require_the_summary"),
}


@contextmanager
def cluster_with_sample() -> Iterator[Cluster]:
    """Give the cluster, with the images of the project's own Dockerfile on its nodes."""
    # What needs the package indexes comes first, while this process is in the machine's own network.
    subprocess.run([CI / "tools.sh", "kubectl", "helm3", "helm4", "ct"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([CI / "images.sh", "all", BASE], check=True)
    with Cluster.up() as cluster:
        cluster.load_images(f"sage-app:{BASE}", f"sage-migrate:{BASE}")
        yield cluster


def derive(cluster: Cluster, service: Service, *tags: str) -> None:
    """Build and load a service's images with these tags."""
    for tag in tags:
        base = f"{service.name}:{BASE}"
        cluster.derive_image(f"{service.name}:{tag}", base=base, files=revisions(service, *DERIVED[tag]))


def revisions(service: Service, *names: str) -> Mapping[str, str]:
    """Return revisions of the sample as a service has them, by path."""
    texts = {name: (REVISIONS / f"{name}.py").read_text(encoding="utf-8") for name in names}
    return {
        f"migrations/versions/{name}.py": text.replace(SAMPLE.table, service.table).replace(SAMPLE.head, service.head)
        for name, text in texts.items()
    }
