"""A fleet on a cluster: the hook is an Indexed Job, whose pods upgrade the tenants of a database at the same time."""

from pathlib import Path

import pytest
import yaml
from sage_migrate.fleet.shards import shard_of

from tests.e2e.database import Database
from tests.e2e.images import REVISIONS
from tests.e2e.load import no_failed_request
from tests.e2e.release import Release
from tests.e2e.services import BASE, SAMPLE
from tests.e2e.waiting import until

SHARDS = 3
HEAD = "a11ce0000003"
# The application's own tables are those of one more tenant.
TENANTS = ["public", *(f"tenant_{number:02}" for number in range(24))]
VALUES = {
    "migration": {
        "deadline": 200,
        "extraArgs": ["--tenant-deadline", "120s"],
        "fleet": {
            "enabled": True,
            "tenantsQuery": "SELECT nspname FROM pg_namespace WHERE nspname = 'public' OR nspname LIKE 'tenant%' ORDER BY 1",
            "shards": SHARDS,
            "slots": 8,
        },
    }
}


def at(database: Database, revision: str) -> list[str]:
    """Return the tenants that are at a revision."""
    union = " UNION ALL ".join(f"SELECT '{tenant}', version_num FROM {tenant}.alembic_version" for tenant in TENANTS)
    return sorted(database.read(f"SELECT found.tenant FROM ({union}) AS found (tenant, at) WHERE at = '{revision}'"))


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_pods_share_the_tenants_and_a_broken_one_fails_the_release(
    release: Release, database: Database, tmp_path: Path
) -> None:
    """All pods are at work at once. The failed index and its tenant are told, all others are done, what served serves on."""
    values = tmp_path / "fleet.yaml"
    values.write_text(yaml.safe_dump(VALUES), encoding="utf-8")
    fleet = ("--values", str(values))
    for tenant in TENANTS[1:]:
        database.read(f'CREATE SCHEMA {tenant} AUTHORIZATION "{database.name}"')
    database.read((REVISIONS / "wait_for_the_test.sql").read_text(encoding="utf-8"))
    release.install(BASE, *fleet)
    assert at(database, SAMPLE.head) == TENANTS
    release.settle()
    before = release.footprint()

    index = shard_of("public", SHARDS)
    # No canary: that one is the first of a shard.
    broken = [tenant for tenant in TENANTS if shard_of(tenant, SHARDS) == index][-1]
    database.read(f"CREATE TABLE {broken}.notes (id int)")
    with no_failed_request(release):
        upgrade = release.start_upgrade("waiting", *fleet)
        # Each has one at work: its canary.
        waiting = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'CALL test.wait()'"
        until(lambda: len(database.read(waiting)) == SHARDS, "every pod is at its canary", timeout_seconds=90)
        database.read("INSERT INTO test.permission DEFAULT VALUES")
        failed = upgrade.wait()
        assert failed.exit_status != 0
        (said,) = [event["message"] for event in failed.events() if event["event"] == "failed"]
        count = sum(shard_of(tenant, SHARDS) == index for tenant in TENANTS)
        assert said.startswith(f"1 of {count} tenants of shard {index} failed: {broken}.")
        (job,) = release.get("job", release.service.migration)
        assert job["status"]["failedIndexes"] == str(index)
        assert sorted(set(TENANTS) - {broken}) == at(database, HEAD)
        assert release.footprint() == before
        database.read(f"DROP TABLE {broken}.notes")
        release.upgrade("waiting", *fleet)
    assert at(database, HEAD) == TENANTS
    assert len(database.read("SELECT pid FROM test.runs")) == len(TENANTS), "each was upgraded once"
    assert release.images() == {"waiting"}
