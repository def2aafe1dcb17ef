"""A first release whose database is late, or does not come at all."""

from collections.abc import Callable

from tests.e2e.release import NAME, WAIT, HelmRun, Release, succeeded
from tests.e2e.services import BASE
from tests.e2e.waiting import until


def test_install_waits_for_a_database_that_is_still_starting(release: Release) -> None:
    """The runner says what it waits for, and goes on as soon as the server is there."""
    release.cluster.stop_database()
    try:
        install = release.start_install(BASE, *WAIT)
        until(lambda: '"database_awaited"' in release.migration_log(), "the runner waits for the database")
    finally:
        release.cluster.start_database()
    succeeded(install.wait())
    assert release.database.versions() == ["f27a0e4dc869"]
    assert release.images() == {BASE}


def test_install_without_a_database_fails_clearly(release: Release, keep: Callable[[str, HelmRun], None]) -> None:
    """A server that never answers ends the install with exit status 10 and the reason; once it is there a repeat works."""
    release.kubectl("create", "secret", "generic", "closed", "--from-literal=DATABASE_URL=postgresql://a:b@127.0.0.1/c")
    late = ("--set", "migration.database.existingSecret=closed,migration.waitTimeout=2s")
    run = release.start_install(BASE, *late).wait()
    keep("no-database", run)
    assert run.exit_status != 0
    (failed,) = [event for event in run.events() if event["event"] == "failed"]
    assert (failed["exit_status"], failed["reason"]) == (10, "database unreachable in time")
    assert "127.0.0.1" in failed["message"]
    (job,) = release.get("job", release.service.migration)
    assert "failed with exit code 10 " in job["status"]["conditions"][-1]["message"]
    assert release.pods() == []

    release.upgrade(BASE, "--install")
    assert release.status() == "deployed"
    succeeded(release.start("uninstall", NAME, "--wait").wait())
    assert release.database.versions() == ["f27a0e4dc869"], "an uninstall leaves the database alone"
