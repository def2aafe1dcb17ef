"""A database ahead of the image: a rollback of the release must not be blocked by its own gate."""

import pytest
from harness.command import CommandLine, Outcome
from harness.postgres import Database
from harness.project import Project

OVERRIDE = (
    "Nothing was applied by this run. Deploy an image that contains c3, or restore the database that goes with this one. "
    "Once, with a reason: --if-ahead accept (SAGE_MIGRATE_IF_AHEAD, Helm: migration.ifAhead) leaves the database as it is."
)


def roll_back(project: Project, gate: CommandLine, *arguments: str, contract: bool = False) -> Outcome:
    """Apply three revisions by the newer image, then run the older one, which lacks two of them."""
    for revision in ("a1", "b2", "c3"):
        declared = "sage_migrate = {'phase': 'contract'}" if contract and revision == "b2" else ""
        project.add(revision, f"CREATE TABLE {revision} (id int)", head=declared)
    gate.run(project, "upgrade", "--image", "app:2").expect(0)
    project.remove("b2", "c3")
    return gate.run(project, "upgrade", *arguments)


def test_a_known_descendant_is_accepted(project: Project, database: Database, gate: CommandLine) -> None:
    """The recorded lineage shows that the image's head is its ancestor: nothing is done, with a warning."""
    outcome = roll_back(project, gate).expect(0)
    assert outcome.one("finished")["outcome"] == "database ahead"
    warning = outcome.one("database_ahead")
    assert warning["level"] == "warning"
    assert warning["message"] == "The database is at c3, ahead of this image's a1. Nothing is done."
    assert database.version() == ["c3"]


def test_it_is_refused_when_asked_for(project: Project, gate: CommandLine) -> None:
    """`--if-ahead refuse` does not look at the lineage."""
    outcome = roll_back(project, gate, "--if-ahead", "refuse").expect(21)
    assert outcome.message == f"The database is at c3, which this image does not contain. {OVERRIDE}"


def test_a_contract_revision_in_between(project: Project, database: Database, gate: CommandLine) -> None:
    """What the older code needs may be gone: refused, with the revision named."""
    outcome = roll_back(project, gate, contract=True).expect(21)
    assert outcome.message == (
        "The database is at c3, which this image does not contain: the contract revision b2 was applied since. "
        + OVERRIDE
    )
    assert database.version() == ["c3"]


def test_it_is_accepted_with_a_reason(project: Project, gate: CommandLine) -> None:
    """`--if-ahead accept` goes on, and the reason is logged."""
    arguments = ("--if-ahead", "accept", "--reason", "b2 dropped an unused table")
    outcome = roll_back(project, gate, *arguments, contract=True).expect(0)
    assert outcome.one("database_ahead")["reason"] == "b2 dropped an unused table"


def test_without_a_lineage(project: Project, database: Database, gate: CommandLine) -> None:
    """Bare Alembic recorded nothing, so ahead cannot be told from unknown."""
    for revision in ("a1", "b2", "c3"):
        project.add(revision)
    gate.alembic(project, "upgrade", "head").expect(0)
    project.remove("b2", "c3")
    outcome = gate.run(project).expect(21)
    assert outcome.message == (
        "The database is at c3, which this image does not contain: the lineage recorded in the database does not know c3. "
        + OVERRIDE
    )


def test_another_history(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision that is known, and no descendant of this image's head, is refused."""
    project.add("a1")
    project.add("c3")
    gate.run(project).expect(0)
    project.remove("c3")
    project.add("b2", down="a1")
    outcome = gate.run(project).expect(21)
    assert outcome.message == (
        f"The database is at c3, which this image does not contain: b2 is no ancestor of c3. {OVERRIDE}"
    )


def test_the_newer_image_goes_on(project: Project, database: Database, gate: CommandLine) -> None:
    """After a rollback that did nothing, rolling forward again works."""
    roll_back(project, gate).expect(0)
    project.last = "a1"
    for revision in ("b2", "c3", "d4"):
        project.add(revision)
    assert gate.run(project).expect(0).applied == ["d4"]
    assert database.version() == ["d4"]


@pytest.mark.parametrize("command", [("upgrade", "heads"), ("upgrade", "a1")])
def test_with_other_names_of_the_target(command: tuple[str, ...], project: Project, gate: CommandLine) -> None:
    """The target is compared, however it is written."""
    for revision in ("a1", "b2"):
        project.add(revision)
    gate.run(project).expect(0)
    project.remove("b2")
    assert gate.run(project, *command).expect(0).one("finished")["outcome"] == "database ahead"
