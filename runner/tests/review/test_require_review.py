"""`upgrade --require-review`: nothing is changed by a revision that is not the one that was reviewed."""

import json
from pathlib import Path

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.reviewed import describe


def _export(project: Project, *revisions: str, taken_in: tuple[str, ...] = ()) -> None:
    entries = {
        each: describe(
            project.migrations / f"versions/{each}.py",
            [project.migrations / name for name in taken_in],
            project.migrations,
        )
        for each in revisions
    }
    project.write("migrations/reviewed.json", json.dumps({"version": 1, "revisions": entries}))


@pytest.fixture
def reviewed_project(project: Project) -> Project:
    """Make a project of two revisions, both reviewed, the second with a module that it imports."""
    project.write("migrations/helpers.py", "TABLE = 'b2'\n")
    project.add("a1", "CREATE TABLE a1 ()")
    project.add("b2", "from migrations.helpers import TABLE\nop.execute(f'CREATE TABLE {TABLE} ()')")
    _export(project, "a1")
    entries = json.loads((project.migrations / "reviewed.json").read_text())
    _export(project, "b2", taken_in=("helpers.py",))
    both = json.loads((project.migrations / "reviewed.json").read_text())
    both["revisions"] |= entries["revisions"]
    project.write("migrations/reviewed.json", json.dumps(both))
    return project


def test_what_was_reviewed_is_applied(reviewed_project: Project, gate: CommandLine) -> None:
    """Line endings do not count: the image may have been built on another system."""
    path = reviewed_project.migrations / "versions/a1.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert gate.run(reviewed_project, "upgrade", "--require-review").expect(0).applied == ["a1", "b2"]


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("versions/b2.py", None, "b2.py was changed since"),
        ("helpers.py", "TABLE = 'other'\n", "helpers.py, which it imports, was changed since"),
        (
            "reviewed.json",
            '{"version": 1, "revisions": {"a1": {}}}',
            "what reviewed.json says of it cannot be read (KeyError)",
        ),
        ("reviewed.json", '{"version": 2}', "reviewed.json has a version that this image cannot read, 2"),
        ("reviewed.json", "[", "DIRECTORY/reviewed.json cannot be read (JSONDecodeError)"),
    ],
)
def test_what_differs_is_refused_before_any_change(  # noqa: PLR0913, PLR0917
    file: str, text: str | None, why: str, reviewed_project: Project, database: Database, gate: CommandLine
) -> None:
    """Not even the revisions before it are applied, and the message names the one-time override."""
    path = reviewed_project.migrations / file
    path.write_text(path.read_text() + "\n# later\n" if text is None else text)
    outcome = gate.run(reviewed_project, "upgrade", "--require-review").expect(22)
    revision = "b2" if "reviewed" not in file else "a1"
    directory = str(reviewed_project.migrations.resolve())
    assert outcome.message.replace(directory, "DIRECTORY") == (
        f"Revision {revision} is pending, and is not the one that was reviewed: {why}. Nothing was applied by this run. "
        "Review it (sage-migrate review stub), and build the image anew with sage-migrate review export. "
        f"Once, with a reason: --allow-unreviewed {revision} --reason … (SAGE_MIGRATE_ALLOW_UNREVIEWED, "
        "Helm: migration.allowUnreviewed)."
    )
    assert (
        database.value("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        == 0
    )


def test_one_can_be_allowed_with_a_reason(reviewed_project: Project, gate: CommandLine) -> None:
    """The override names the revision, so it holds once; without a reason it is refused, with one it is logged."""
    (reviewed_project.migrations / "reviewed.json").unlink()
    reviewed_project.remove("b2")
    arguments = ("upgrade", "--require-review", "--allow-unreviewed", "a1")
    assert gate.run(reviewed_project, *arguments).expect(2).message == (
        "Revision a1 is to be applied without a review, and no reason is given. Nothing was applied by this run. "
        "Add --reason (SAGE_MIGRATE_REASON, Helm: migration.reason); it is logged."
    )
    outcome = gate.run(reviewed_project, *arguments, "--reason", "outage 17").expect(0)
    event = outcome.one("unreviewed_allowed")
    assert (event["revision"], event["reason"], Path(event["why"].removeprefix("there is no ")).name) == (
        "a1",
        "outage 17",
        "reviewed.json",
    )


def test_only_what_is_pending_is_looked_at(reviewed_project: Project, gate: CommandLine) -> None:
    """A revision that is applied already may look as it likes, and so may one that is taken back."""
    gate.run(reviewed_project, "upgrade", "a1").expect(0)
    path = reviewed_project.migrations / "versions/a1.py"
    path.write_text(path.read_text() + "\n# later\n")
    gate.run(reviewed_project, "upgrade", "--require-review").expect(0)
    gate.run(reviewed_project, "downgrade", "base", "--require-review").expect(0)
