"""Releases that go well: install, upgrade, and back again."""

from tests.e2e.load import no_failed_request
from tests.e2e.release import NAME, Release, each_service, succeeded
from tests.e2e.services import BASE


@each_service
def test_upgrade_migrates_before_the_pods_roll(release: Release) -> None:
    """An install on an empty database, then a release that adds a column: nobody who uses the service notices."""
    release.install(BASE)
    assert release.database.versions() == [release.service.head]
    before = {pod["metadata"]["uid"] for pod in release.pods()}
    with no_failed_request(release):
        release.upgrade("summary")
    assert release.database.versions() == ["a11ce0000001"]
    assert "summary" in release.database.columns(release.service.table)
    assert release.images() == {"summary"}
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in release.pods())
    assert release.migration_pods() == [], "the Job of a hook that succeeded is gone"


def test_rollback_brings_the_old_pods_back_with_the_database_ahead(release: Release) -> None:
    """After a release that migrated, the old image serves again: by a rollback, in a new pod, by an upgrade to it."""
    release.install(BASE)
    with no_failed_request(release):
        release.upgrade("summary")
        succeeded(release.start("rollback", NAME, "1", "--wait", "--timeout", "60s").wait())
        release.settle()
        assert release.images() == {BASE}
        assert release.database.versions() == ["a11ce0000001"]

        release.kubectl("delete", "pod", release.pods()[0]["metadata"]["name"], "--wait=false")
        release.settle()
        assert release.images() == {BASE}

        release.upgrade(BASE)
        assert release.database.versions() == ["a11ce0000001"]
