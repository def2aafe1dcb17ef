"""The happy path: each pending revision in a transaction of its own, by every driver."""

from pathlib import Path

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

DRIVERS = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]


@pytest.mark.parametrize(("driver", "env"), DRIVERS)
def test_applies_all_pending_revisions(
    driver: str, env: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """Every driver, sync and async, brings the database to head."""
    project = Project(tmp_path / "project", env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "CREATE TABLE two (id int)")
    outcome = gate.run(project, url=database.url(driver)).expect(0)
    assert outcome.applied == ["a1", "b2"]
    assert database.version() == ["b2"]
