"""Where Alembic's configuration may be, and what it may say of the history."""

from pathlib import Path

from harness.command import CommandLine
from harness.env_files import SYNC
from harness.postgres import Database
from harness.project import Project


def test_a_section_of_its_own(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """`-n NAME` reads that section: its history, its version table, its URL (SkyPilot)."""
    env = SYNC.replace("target_metadata=target_metadata)", "version_table=config.get_main_option('version_table'))")
    project = Project(tmp_path / "other", env)
    project.add("a1", "CREATE TABLE one (id int)")
    url = database.url("psycopg2").replace("%", "%%")
    project.write(
        "alembic.ini",
        f"[DEFAULT]\nscript_location = migrations\n[jobs]\nversion_table = jobs_version\nsqlalchemy.url = {url}\n",
    )
    gate.run(project, "-n", "jobs", "upgrade", url=None).expect(0)
    assert database.version("jobs_version") == ["a1"]


def test_several_version_locations(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """Branches in directories of their own, each with its label, one depending on the other (Keystone)."""
    project = Project(tmp_path / "other")
    project.write(
        "alembic.ini",
        "[alembic]\nscript_location = migrations\nversion_locations = migrations/expand migrations/contract\n",
    )
    for directory in ("expand", "contract"):
        (project.migrations / directory).mkdir()
    project.add("e1", "CREATE TABLE one (id int)", labels=("expand",))
    project.add("c1", "ALTER TABLE one ADD x int", down=None, labels=("contract",), depends_on="e1")
    for revision, directory in (("e1", "expand"), ("c1", "contract")):
        (project.migrations / "versions" / f"{revision}.py").rename(project.migrations / directory / f"{revision}.py")
    assert gate.run(project, "upgrade", "contract@head").expect(0).applied == ["e1", "c1"]
    assert gate.run(project, "upgrade", "heads").expect(0).applied == []
    # Alembic keeps no row for a head that another one depends on.
    assert database.version() == ["c1"]


def test_configuration_in_pyproject(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """[tool.alembic] names the history, beside an alembic.ini without it or alone (Alembic 1.16)."""
    url = f"{{'sqlalchemy.url': {database.url('psycopg2')!r}}}"
    project = Project(tmp_path / "other", SYNC.replace("config.get_section(config.config_ini_section)", url))
    project.write("pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    project.write("alembic.ini", "[alembic]\n")
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    project.add("b2", "CREATE TABLE two (id int)")
    (project.directory / "alembic.ini").unlink()
    gate.run(project, "-c", "pyproject.toml", "upgrade").expect(0)
    assert database.version() == ["b2"]
