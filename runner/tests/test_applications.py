"""What whole applications do around their env.py: each was seen in a released project."""

import os
import subprocess
import sys
from pathlib import Path

from harness.command import CommandLine
from harness.env_files import SYNC
from harness.postgres import Database
from harness.project import Project


def test_an_application_that_configures_structlog(tmp_path: Path, gate: CommandLine) -> None:
    """Our events stay one JSON object a line, on stdout (Airflow 3)."""
    own = (
        "import sys, structlog; structlog.configure(processors=[structlog.dev.ConsoleRenderer()], "
        "logger_factory=structlog.PrintLoggerFactory(sys.stderr))"
    )
    project = Project(tmp_path / "other", f"{own}\n{SYNC}")
    project.add("a1", "CREATE TABLE one (id int)")
    assert gate.run(project).expect(0).applied == ["a1"]


def test_an_env_py_that_reads_the_command_line(tmp_path: Path, gate: CommandLine) -> None:
    """`config.cmd_opts` is what the alembic command makes of the same arguments (Galaxy)."""
    env = SYNC.replace(
        "target_metadata = None",
        "target_metadata = None\nassert (config.cmd_opts.cmd[0].__name__, config.cmd_opts.revision) == ('upgrade', 'b2')",
    )
    project = Project(tmp_path / "other", env)
    project.add("a1")
    project.add("b2")
    gate.run(project, "upgrade", "b2").expect(0)


def test_an_env_py_that_chooses_the_history(tmp_path: Path, gate: CommandLine) -> None:
    """It sets the script directory's version_locations, by the database's dialect (Prefect)."""
    env = SYNC.replace(
        "target_metadata = None",
        "target_metadata = None\ncontext.script.version_locations = [f'{context.script.dir}/versions/postgresql']",
    )
    project = Project(tmp_path / "other", env)
    (project.migrations / "versions" / "postgresql").mkdir()
    for revision in ("a1", "b2"):
        project.add(revision, f"CREATE TABLE {revision} (id int)")
        (project.migrations / "versions" / f"{revision}.py").rename(
            project.migrations / "versions" / "postgresql" / f"{revision}.py"
        )
        assert gate.run(project).expect(0).applied == [revision]
    assert gate.run(project, "upgrade", "heads").expect(0).one("verified")["current"] == ["b2"]


def test_a_program_that_runs_the_gate_in_a_thread(tmp_path: Path, project: Project, database: Database) -> None:
    """It may call main() off its main thread, where no signal handler can be set: its signals stay its own (Prefect)."""
    project.add("a1", "CREATE TABLE one (id int)")
    code = (
        "import threading; from sage_migrate.cli import main; "
        "thread = threading.Thread(target=main, args=(['upgrade'],)); thread.start(); thread.join()"
    )
    environment = {**os.environ, "DATABASE_URL": database.url()}
    subprocess.run([sys.executable, "-c", code], cwd=project.directory, env=environment, check=True)
    assert database.version() == ["a1"]
