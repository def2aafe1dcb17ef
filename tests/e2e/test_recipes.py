"""The recipes of docs/recipes.md under load: every release and the way back, with the page's own revisions and statements."""

import json
import re
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from harness.recipes import ROWS, Recipe

from tests.e2e.load import no_failed_request
from tests.e2e.recipes import RECIPES, TAG, Variant
from tests.e2e.release import NAME, WAIT, Manifest, Release, is_ready, succeeded
from tests.e2e.waiting import until

# What each recipe is for, as the catalog has it in the end.
REACHED = {
    "orders": "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'currency'",
    "letters": "SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'letters'::regclass AND attname = 'title'",
    "events": "SELECT pg_typeof(id) = 'bigint'::regtype FROM events WHERE id > 2147483647 LIMIT 1",
    "customers": "SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'address'",
}
# What the data become before the code goes back: keys that the narrow column could not hold.
MEETS = {("events", 2): "SELECT setval('events_id_seq', 3000000000)"}


@pytest.mark.parametrize(
    ("helm", "service", "table"),
    # Both versions meet an online Job beside the release: of orders and of events.
    [
        ("helm4", "recipe_service", "orders"),
        ("helm4", "recipe_service", "letters"),
        ("helm3", "recipe_service", "events"),
        ("helm3", "recipe_service", "customers"),
    ],
    indirect=["helm", "service"],
)
def test_recipe_costs_no_request_and_no_row(release: Release, table: str) -> None:
    """Nothing fails, what is written is read by whichever pod, both releases read the same, and all of it is there in the end."""
    recipe = RECIPES[table]
    release.install(TAG, *Variant(recipe=recipe, code=0, history=0).settings)
    with no_failed_request(release) as load:
        for number, (old, new) in enumerate(pairwise(recipe.releases), start=1):
            go_on(release, recipe, number)
            if (table, number) in MEETS:
                release.database.read(MEETS[table, number])
            go_back(release, recipe, number)
            assert [row for row in rows(release, recipe.reads(old.code, new.code)) if row[1] != row[2]] == []
            if number + 1 < len(recipe.releases):
                again = Variant(recipe=recipe, code=number, history=number)
                release.upgrade(TAG, *again.settings)
                check_serving(release, again)
    check_rows(release, recipe, things=load["things"])
    assert release.database.read(REACHED[table]) == [True]


def go_on(release: Release, recipe: Recipe, number: int) -> None:
    """Release the next code; what is slow is left to the online Job, as on a large table."""
    following = Variant(recipe=recipe, code=number, history=number)
    before = release.database.versions()
    if following.online:
        release.database.pretend_many_rows(recipe.table)
    if following.online and following.online == following.new_revisions:
        # The hook needs no lock on the table, so one of the rows that are left to set can be held.
        with closing(release.database.connect()) as session, session.transaction():
            session.execute(f"SELECT FROM {recipe.table} WHERE id = 1501 FOR UPDATE".encode())
            release.upgrade(TAG, *following.settings)
            assert release.database.versions() == before, "the hook has left it"
            evict_online_run(release, following)
        started = [event for event in online_log(release, following) if event["event"] == "backfill_started"]
        assert started[-1]["rows_done"] > 0, "it goes on where it stopped"
    else:
        release.upgrade(TAG, *following.settings)
    if following.online:
        until(
            lambda: release.database.versions() == [following.head],
            "the online Job has done what the hook has left",
            timeout_seconds=120,
        )
        until(lambda: "finished" in [event["event"] for event in online_log(release, following)], "it says so")
        (finished,) = (event for event in online_log(release, following) if event["event"] == "finished")
        assert [each["revision"] for each in finished["applied"]] == following.online


def go_back(release: Release, recipe: Recipe, number: int) -> None:
    """Let the code of the release before serve on this release's schema, as the page says."""
    before = Variant(recipe=recipe, code=number - 1, history=number - 1)
    head = release.database.versions()
    if recipe.releases[number].contracts:
        if recipe.table == "letters":  # once is enough: it ends by its timeout
            assert release.start("rollback", NAME, "--wait", "--timeout", "15s").wait().exit_status != 0
            ready = {(running(pod), is_ready(pod)) for pod in release.pods()}
            assert ready == {(before.name, False), (Variant(recipe=recipe, code=number, history=number).name, True)}
        before = Variant(recipe=recipe, code=number - 1, history=number)
        release.upgrade(TAG, *before.settings)
    else:
        succeeded(release.start("rollback", NAME, *WAIT).wait())
    check_serving(release, before)
    assert release.database.versions() == head


def evict_online_run(release: Release, variant: Variant) -> None:
    """Evict the online Job's pod when it waits for the row that is held, and return when another one does."""

    def waiting() -> list[str]:
        """Return the pods that have met the row."""
        return [each["pod"] for each in online_log(release, variant) if each["event"] == "backfill_waits"]

    (first, *_) = until(waiting, "the online Job's backfill has come to the row")
    release.evict(first)
    until(lambda: set(waiting()) - {first}, "the Job's next pod has come to the row")


def online_log(release: Release, variant: Variant) -> list[Manifest]:
    """Return what the pods of a release's online Job have logged so far, in their order."""
    found = [pod for pod in release.migration_pods() if variant.name in json.dumps(pod["spec"])]
    events: list[Manifest] = []
    for pod in sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"]):
        name = pod["metadata"]["name"]
        # A pod that has not started has no log yet, which kubectl calls an error; of one whose container is gone it tells that in a line.
        command = ("kubectl", "--namespace", release.namespace, "logs", name)
        lines = release.cluster.run(*command, check=False).stdout.splitlines()
        events += [{"pod": name, **json.loads(line)} for line in lines if line.startswith("{")]
    return events


def running(pod: Manifest) -> str:
    """Return the variant that a pod of the application runs."""
    (name,) = (each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"] == "RELEASE")
    return str(name)


def check_serving(release: Release, variant: Variant) -> None:
    """Wait until the pods of before have gone: the next release would not know them."""
    release.settle()
    assert {running(pod) for pod in release.pods()} == {variant.name}


def rows(release: Release, query: str) -> list[Any]:
    """Return a query's rows."""
    with closing(release.database.connect()) as session:
        return session.execute(query.encode()).fetchall()


def check_rows(release: Release, recipe: Recipe, *, things: int) -> None:
    """Check that the rows of old are what they were, and that what the load was told to be written is there, once."""
    found = dict(rows(release, recipe.reads(recipe.releases[-1].code)))
    assert [found.pop(number) for number in range(1, ROWS + 1)] == [f"text {number}" for number in range(1, ROWS + 1)]
    assert [text for text in found.values() if not re.fullmatch(r"load \d-\d+ changed", text)] == []
    assert len(found) == len(set(found.values())) == things
