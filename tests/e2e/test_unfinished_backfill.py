"""A release whose `contract` revision needs a backfill that the release before has left: refused until that is done."""

import re

import pytest

from tests.docs.pages import DOCS, fences
from tests.e2e.load import no_failed_request
from tests.e2e.release import Release
from tests.e2e.services import BASE

(ONLINE_JOB,) = (text for text in fences(DOCS / "online.md", "yaml") if "kind: Job" in text)
ROWS_OF_OLD = (
    "INSERT INTO organizations (name) VALUES ('old')",
    "INSERT INTO conversations (org_id, title) SELECT id, 'old' FROM organizations, generate_series(1, 5000)",
)
REFUSAL = (
    "The `contract` revision a11ce0000006 may only follow when the online revision a11ce0000005 is done. a11ce0000005 takes about "
    "{minutes} min (estimated from {rows} rows of conversations at 10000 rows/s, which is assumed), which does not fit this run's "
    "deadline. Nothing was applied by this run. a11ce0000005 was rolled back whole. Release without a11ce0000006 first and let its "
    "online run (Helm: migration.online.enabled) do a11ce0000005, or do it now, beside the application: sage-migrate upgrade "
    "a11ce0000005 --online. Then release this again."
)
IS_REQUIRED = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'conversations'::regclass AND attname = 'summary'"
EMPTY = "SELECT count(*) FROM conversations WHERE summary IS NULL"


def status(release: Release) -> str:
    """Ask a pod that serves, as a person would; what is pending is an exit status."""
    command = ("exec", f"deployment/{release.service.fullname}", "--", "sage-migrate", "status")
    return release.cluster.run("kubectl", "--namespace", release.namespace, *command, check=False).stdout


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_contract_waits_for_the_backfill_that_it_needs(release: Release) -> None:
    """Helm says what to do; nothing of it is applied and no request fails; when the online Job has ended, it goes through."""
    release.install(BASE)
    for statement in ROWS_OF_OLD:
        release.database.read(statement)
    release.database.pretend_many_rows("conversations")
    with no_failed_request(release):
        release.upgrade("unfilled")
        release.settle()
        before = release.footprint()
        assert release.database.versions() == ["a11ce0000004"], "the backfill is left"
        refused = release.start_upgrade("required").wait()
        assert refused.exit_status != 0
        (failed,) = (event for event in refused.events() if event["event"] == "failed")
        # The planner's estimate goes by the table's size, which grows under the load.
        (rows,) = map(int, re.findall(r"(\d+) rows of", failed["message"]))
        assert 10**9 <= rows < 2 * 10**9
        told = REFUSAL.format(minutes=f"{rows / 10_000 / 60:.0f}", rows=rows)
        assert (failed["exit_status"], failed["message"]) == (23, told)
        assert (release.footprint(), release.database.versions()) == (before, ["a11ce0000004"])
        assert release.database.read(IS_REQUIRED) == [False]
        assert "pending  a11ce0000005  (online)" in status(release)
        release.kubectl("apply", "--filename=-", stdin=ONLINE_JOB.replace("orders:1.4.2", "sage-app:unfilled"))
        release.kubectl("wait", "job/migrate-online", "--for=condition=Complete", "--timeout=90s")
        assert (release.database.versions(), release.database.read(EMPTY)) == (["a11ce0000005"], [0])
        release.upgrade("required")
    assert release.images() == {"required"}
    assert release.database.read(IS_REQUIRED) == [True]
