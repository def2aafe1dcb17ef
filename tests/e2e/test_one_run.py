"""Two runners, an evicted runner, a Helm that died: always one effective run, and a repeat that succeeds.

The image "waiting" stops in the middle of its revision until the test gives permission.
"""

from collections.abc import Callable

import pytest

from tests.e2e.database import Database
from tests.e2e.images import REVISIONS
from tests.e2e.load import no_failed_request
from tests.e2e.release import NAME, WAIT, Release, succeeded
from tests.e2e.services import BASE
from tests.e2e.waiting import until

HEAD = "a11ce0000003"


@pytest.fixture(autouse=True)
def permission(database: Database) -> Callable[[], None]:
    """Let the revision wait, and return how to let it go on."""
    database.read((REVISIONS / "wait_for_the_test.sql").read_text(encoding="utf-8"))

    def give() -> None:
        database.read("INSERT INTO test.permission DEFAULT VALUES")

    return give


def runners(database: Database) -> int:
    """Return how many runners are connected."""
    (count,) = database.read("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sage-migrate lock'")
    return int(count)


def await_the_middle(database: Database, *, at_work: int = 1) -> None:
    """Return when a revision is half done, with ``at_work`` runners connected."""
    # The procedure's own name is the query that pg_stat_activity shows.
    statement = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'CALL test.wait()'"
    until(lambda: database.read(statement) == [1] and runners(database) == at_work, "the revision is half done")
    assert not database.has_table("notes"), "what is half done is for nobody to see"


def check_one_effective_run(database: Database) -> None:
    """Check that the revision was applied, whole, and once."""
    assert database.versions() == [HEAD]
    assert len(database.read("SELECT pid FROM test.runs")) == 1
    assert database.read("SELECT count(*) FROM pg_indexes WHERE indexname = 'ix_notes_id'") == [1]


def test_two_releases_at_once(
    new_release: Callable[[], Release], database: Database, permission: Callable[[], None]
) -> None:
    """Two namespaces, one empty database: the second runner waits for the first, and has nothing left to do."""
    releases = [new_release(), new_release()]
    installs = [release.start_install("waiting", *WAIT) for release in releases]
    await_the_middle(database, at_work=2)
    permission()
    for install in installs:
        succeeded(install.wait())
    check_one_effective_run(database)


def test_evicted_runner_is_replaced(release: Release, database: Database, permission: Callable[[], None]) -> None:
    """A drained node is no failed release: the runner rolls back, and the Job's next pod does it all."""
    release.install(BASE)
    with no_failed_request(release):
        upgrade = release.start_upgrade("waiting", *WAIT)
        await_the_middle(database)
        (first,) = release.migration_pods()
        name = first["metadata"]["name"]
        release.evict(name)
        until(
            lambda: [pod["metadata"]["name"] for pod in release.migration_pods()] not in ([], [name]),
            "the Job has made another pod",
        )
        await_the_middle(database)
        permission()
        succeeded(upgrade.wait())
        check_one_effective_run(database)
        release.upgrade("waiting")
    check_one_effective_run(database)


def test_killed_helm_can_be_repeated(release: Release, database: Database, permission: Callable[[], None]) -> None:
    """Helm's lock stays behind until a rollback; the next upgrade takes the place of the runner that goes on."""
    release.install(BASE)
    with no_failed_request(release):
        upgrade = release.start_upgrade("waiting", *WAIT)
        await_the_middle(database)
        upgrade.kill()
        assert release.status() == "pending-upgrade"
        refused = release.start_upgrade("waiting", *WAIT).wait()
        assert refused.exit_status != 0
        assert "another operation (install/upgrade/rollback) is in progress" in refused.output
        succeeded(release.start("rollback", NAME, *WAIT).wait())
        assert release.status() == "deployed"

        (first,) = database.read("SELECT pid FROM pg_stat_activity WHERE query = 'CALL test.wait()'")
        repeat = release.start_upgrade("waiting", *WAIT)
        until(
            lambda: (
                database.read("SELECT pid FROM pg_stat_activity WHERE query = 'CALL test.wait()'") not in ([], [first])
            ),
            "the runner of the repeated upgrade is at work",
        )
        permission()
        succeeded(repeat.wait())
    check_one_effective_run(database)
    assert release.images() == {"waiting"}
