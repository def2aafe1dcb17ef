"""`status`, `upgrade --dry-run` and `downgrade`."""

import json
from pathlib import Path

import pytest
from harness.command import CommandLine
from harness.env_files import STYLES, Style
from harness.postgres import Database
from harness.project import Project

NOTHING = "Nothing was applied by this run."


def fill(project: Project) -> None:
    """Add three revisions that can be reverted."""
    for revision in ("a1", "b2", "c3"):
        project.add(revision, f"CREATE TABLE {revision} (id int)", downgrade=f"DROP TABLE {revision}")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_status_before_and_after(style: Style, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """3 while revisions are pending, 0 at head; and nothing is changed by asking."""
    project = Project(tmp_path / "other", style.env)
    fill(project)
    url = database.url(style.driver)
    outcome = gate.run(project, "status", "--format", "json", url=url).expect(3)
    assert json.loads(outcome.stdout) == {
        "state": "pending",
        "current": [],
        "head": ["c3"],
        "pending": ["a1", "b2", "c3"],
        "reason": "",
        "backfilled_rows": {},
        "online": [],
    }
    assert not database.has("alembic_version")
    gate.run(project, url=url).expect(0)
    assert gate.run(project, "status", url=url).expect(0).stdout == "state    at-head\ncurrent  c3\nhead     c3\n"


def test_status_ahead(project: Project, gate: CommandLine) -> None:
    """Known ahead is fine; unknown is not, with the reason."""
    fill(project)
    gate.run(project).expect(0)
    project.remove("c3")
    assert gate.run(project, "status").expect(0).stdout == "state    ahead\ncurrent  c3\nhead     b2\n"
    project.add("d3", down="b2")
    assert gate.run(project, "status").expect(21).stdout == (
        "state    unknown\ncurrent  c3\nhead     d3\nreason   d3 is no ancestor of c3\n"
    )


def test_status_without_a_database(project: Project, gate: CommandLine) -> None:
    """It fails as the gate does."""
    fill(project)
    outcome = gate.run(project, "status", "--wait-timeout", "300ms", url="postgresql://127.0.0.1:1/app")
    assert outcome.expect(10).stdout == ""


def test_a_dry_run(project: Project, database: Database, gate: CommandLine) -> None:
    """The plan and its SQL are shown, and nothing is done."""
    fill(project)
    outcome = gate.run(project, "upgrade", "--dry-run", "b2").expect(0)
    assert outcome.one("plan")["pending"] == [
        {"revision": "a1", "phase": "expand"},
        {"revision": "b2", "phase": "expand"},
    ]
    assert [event["revision"] for event in outcome.named("sql")] == ["a1", "b2"]
    assert "CREATE TABLE b2 (id int);" in outcome.named("sql")[1]["sql"]
    assert not database.has("alembic_version")


def test_a_downgrade_one_by_one(project: Project, database: Database, gate: CommandLine) -> None:
    """Each step has its transaction, under the same lock and limits."""
    fill(project)
    gate.run(project).expect(0)
    outcome = gate.run(project, "downgrade", "a1").expect(0)
    assert [event["revision"] for event in outcome.named("revision_reverted")] == ["c3", "b2"]
    assert database.version() == ["a1"]
    assert not database.has("b2")
    gate.run(project, "downgrade", "base").expect(0)
    assert database.version() == []


def test_a_downgrade_that_fails(project: Project, database: Database, gate: CommandLine) -> None:
    """What was reverted before stays so, and is said."""
    project.add("a1", downgrade="SELECT 1/0")
    project.add("b2")
    gate.run(project).expect(0)
    outcome = gate.run(project, "downgrade", "base").expect(40)
    assert outcome.message == (
        "Revision a1 failed: division by zero (SQLSTATE 22012) in: SELECT ?/?. "
        "Reverted by this run, and staying so: b2. a1 was rolled back whole. "
        "Correct the revision, try it on a copy of the database, and release again."
    )
    assert database.version() == ["a1"]
