"""Releases that go wrong: Helm says why, and what served goes on serving as if nothing had happened."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from tests.e2e.load import no_failed_request
from tests.e2e.release import HELMS, UNDO_ON_FAILURE, HelmRun, Release
from tests.e2e.services import BASE

Keep = Callable[[str, HelmRun], None]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A release whose migration fails, and what Helm's output has to tell of it."""

    tag: str
    settings: tuple[str, ...] = ()
    meanwhile: Callable[[Release], AbstractContextManager[None]] = lambda _: nullcontext()
    exit_status: int
    sqlstate: str
    revision: str
    reasons: tuple[str, ...]
    """Parts of its message, with {table} for the service's own."""
    applied: tuple[str, ...]
    """Revisions that were applied before, and stay."""
    mended: str
    """The image of the release that works."""
    culprit: str = ""
    """Who was in the way, as another event names it."""


FAILURES = {
    "sql-error": Failure(
        tag="mistake",
        exit_status=40,
        sqlstate="42703",
        revision="a11ce0000002",
        reasons=('column "creatd_at" does not exist', "a11ce0000002 was rolled back whole"),
        applied=("a11ce0000001",),
        mended="archive",
    ),
    "lock": Failure(
        tag="summary",
        settings=("--set", "migration.deadline=10"),
        meanwhile=lambda release: release.database.long_reader(release.service.table),
        exit_status=31,
        sqlstate="55P03",
        revision="a11ce0000001",
        reasons=("did not get its lock on {table} in 1 try", "ALTER TABLE {table} ADD COLUMN summary"),
        applied=(),
        mended="summary",
        culprit="nightly-report",
    ),
    "statement-timeout": Failure(
        tag="slow",
        settings=("--set", "migration.statementTimeout=1500ms"),
        exit_status=33,
        sqlstate="57014",
        revision="a11ce0000002",
        reasons=("for longer than statement_timeout (1.5 s", "INSERT INTO archives"),
        applied=("a11ce0000001",),
        mended="archive",
    ),
}


@pytest.mark.parametrize(
    ("helm", "service", "name"),
    [
        *((helm, "sample", name) for helm in HELMS for name in FAILURES),
        *(("helm3", "orders", name) for name in FAILURES),
        ("helm4", "new_service", "sql-error"),
    ],
    indirect=["helm", "service"],
)
def test_failed_migration_leaves_the_release_as_it_is(release: Release, helm: str, name: str, keep: Keep) -> None:
    """Helm ends soon and with the reason; no object and no pod is touched; the mended release goes through."""
    failure = FAILURES[name]
    release.install(BASE)
    release.settle()
    before = release.footprint()
    with no_failed_request(release):
        with failure.meanwhile(release):
            first = release.start_upgrade(failure.tag, *failure.settings).wait()
            keep(name, first)
            check_account(release, first, failure, applied=failure.applied)
            undone = release.start_upgrade(failure.tag, *failure.settings, UNDO_ON_FAILURE[helm]).wait()
            keep(f"{name}-undone", undone)
            check_account(release, undone, failure, applied=())
        assert release.footprint() == before
        assert "archived_at" not in release.database.columns(release.service.table)
        release.upgrade(failure.mended)
    assert release.images() == {failure.mended}


def check_account(release: Release, run: HelmRun, failure: Failure, *, applied: tuple[str, ...]) -> None:
    """Check what the person at the terminal got to know, and when."""
    assert run.exit_status != 0
    assert run.ended - release.runner_ended() < 15
    (failed,) = [event for event in run.events() if event["event"] == "failed"]
    assert (failed["exit_status"], failed["sqlstate"]) == (failure.exit_status, failure.sqlstate)
    assert (failed["revision"], tuple(failed["applied"])) == (failure.revision, applied)
    reasons = [reason.format(table=release.service.table) for reason in failure.reasons]
    for part in (failure.revision, failure.sqlstate, *reasons, *applied):
        assert part in failed["message"]
    assert failure.culprit in run.output
    assert "private words" not in run.output, "literals may be somebody's data"
    (job,) = release.get("job", release.service.migration)
    (condition,) = [each for each in job["status"]["conditions"] if each["type"] == "Failed"]
    assert f"failed with exit code {failure.exit_status} " in condition["message"]


def test_pods_that_never_get_ready_are_undone(release: Release, helm: str, keep: Keep) -> None:
    """A good migration, then pods without their database: the old ones go on serving a database that is ahead."""
    release.install(BASE)
    release.settle()
    before = release.footprint()
    nowhere = "--from-literal=DATABASE_URL=postgresql://nobody:nothing@127.0.0.1/none"
    release.kubectl("create", "secret", "generic", "nowhere", nowhere)
    apart = ("database.existingSecret=nowhere", "migration.database.existingSecret=database")
    with no_failed_request(release):
        arguments = ("--set", ",".join(apart), UNDO_ON_FAILURE[helm], "--timeout", "15s")
        run = release.start_upgrade("summary", *arguments).wait()
        keep("never-ready-undone", run)
        assert run.exit_status != 0
        release.settle()
        assert release.database.versions() == ["a11ce0000001"]
        assert release.footprint()["pods"] == before["pods"]
        release.upgrade("archive")
    assert release.images() == {"archive"}
