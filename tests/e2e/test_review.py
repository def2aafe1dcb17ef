"""A service that init made demands reviews of its releases: what was changed since is refused."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.images import revisions
from tests.e2e.load import no_failed_request
from tests.e2e.release import HelmRun, Release
from tests.e2e.services import BASE, Service

REQUIRE = ("--set", "migration.requireReview=true")
CHANGED = "a11ce0000002"
ANSWERED = {"Does": "adds a column that may be empty.", "Reviewer": "Grace Hopper"}
AUTHOR = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org")


@pytest.fixture(scope="session")
def changed(cluster: Cluster, new_service: Service) -> str:
    """Build a branch with two reviewed revisions, then change one of them in the image; return the image's tag."""
    repository = new_service.chart.parent
    for words in (("init", "--initial-branch=main"), ("add", "."), (*AUTHOR, "commit", "--message=Begin")):
        subprocess.run(("git", *words), cwd=repository, check=True, capture_output=True)
    branch = revisions(new_service, "add_a_summary", "archive")
    for path, text in branch.items():
        (repository / path).write_text(text, encoding="utf-8")
    review = (sys.executable, "-m", "sage_migrate", "review")
    subprocess.run((*review, "stub", "--base=main"), cwd=repository, check=True)
    (document,) = (repository / "docs" / "cycles").glob("*-*.md")
    text = document.read_text(encoding="utf-8")
    for item, answer in ANSWERED.items():
        text = text.replace(f"- [ ] {item}:", f"- [x] {item}: {answer}")
    document.write_text(text, encoding="utf-8")
    subprocess.run((*review, "check", "--base=main"), cwd=repository, check=True)
    cluster.build_image(f"{new_service.name}:reviewed", repository)
    path = "migrations/versions/archive.py"
    files = {path: branch[path] + "\n# Changed after the review.\n"}
    cluster.derive_image(f"{new_service.name}:changed", base=f"{new_service.name}:reviewed", files=files)
    return "changed"


@pytest.mark.parametrize(("helm", "service"), [("helm3", "new_service")], indirect=True)
def test_revision_changed_after_its_review_is_refused(
    release: Release, changed: str, keep: Callable[[str, HelmRun], None]
) -> None:
    """Not even the reviewed one before it is applied, and prior pods serve on; with a reason that one goes through."""
    release.install(BASE, *REQUIRE)
    release.settle()
    before = release.footprint()
    with no_failed_request(release):
        run = release.start_upgrade(changed, *REQUIRE).wait()
        keep("not-reviewed", run)
        assert run.exit_status != 0
        (failed,) = [event for event in run.events() if event["event"] == "failed"]
        assert (failed["exit_status"], failed["revision"]) == (22, CHANGED)
        assert "archive.py was changed since" in failed["message"]
        assert release.footprint() == before
        assert release.database.versions() == [release.service.head]
        release.upgrade(
            changed, *REQUIRE, "--set", f"migration.allowUnreviewed={{{CHANGED}}},migration.reason=mends an outage"
        )
    assert (release.images(), release.database.versions()) == ({changed}, [CHANGED])
