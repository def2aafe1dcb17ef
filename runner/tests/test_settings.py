"""Settings: command line over environment over file over default."""

import json
import sys

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

SEEN = "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value"


def test_the_command_line_wins(project: Project, database: Database, gate: CommandLine) -> None:
    """Each source is overridden by the one before it."""
    project.add("a1", SEEN)
    project.write("pyproject.toml", "[tool.sage-migrate]\nlock-timeout = '300ms'\n")
    gate.run(project, "upgrade", "--lock-timeout", "500ms", SAGE_MIGRATE_LOCK_TIMEOUT="400ms").expect(0)
    assert database.value("SELECT value FROM seen") == "500ms"


def test_the_environment_comes_before_the_file(project: Project, database: Database, gate: CommandLine) -> None:
    """A variable overrides pyproject.toml."""
    project.add("a1", SEEN)
    project.write("pyproject.toml", "[tool.sage-migrate]\nlock-timeout = '300ms'\n")
    gate.run(project, SAGE_MIGRATE_LOCK_TIMEOUT="400ms").expect(0)
    assert database.value("SELECT value FROM seen") == "400ms"


def test_the_file_comes_before_the_default(project: Project, database: Database, gate: CommandLine) -> None:
    """pyproject.toml beside the configuration file is read."""
    project.add("a1", SEEN)
    project.write("pyproject.toml", "[tool.sage-migrate]\nlock-timeout = '300ms'\n")
    gate.run(project).expect(0)
    assert database.value("SELECT value FROM seen") == "300ms"


def test_an_empty_variable_counts_as_none(project: Project, database: Database, gate: CommandLine) -> None:
    """A chart that passes an empty value means the default."""
    project.add("a1", SEEN)
    gate.run(project, SAGE_MIGRATE_LOCK_TIMEOUT="", SAGE_MIGRATE_DATABASE_URL="").expect(0)
    assert database.value("SELECT value FROM seen") == "100ms"


def test_a_short_deadline_shortens_the_defaults(project: Project, database: Database, gate: CommandLine) -> None:
    """`--deadline` alone moves the ladder; what was given itself is not changed."""
    project.add("a1", SEEN.replace("lock_timeout", "statement_timeout"))
    gate.run(project, "upgrade", "--deadline", "40s").expect(0)
    assert database.value("SELECT value FROM seen") == "30s"


@pytest.mark.parametrize("flag", [["--show-literals"], []])
def test_a_flag_by_its_variable(flag: list[str], project: Project, gate: CommandLine) -> None:
    """A switch is true or false in the environment."""
    project.add("a1", "SELECT 'secret'::int")
    environment = {} if flag else {"SAGE_MIGRATE_SHOW_LITERALS": "true"}
    assert gate.run(project, "upgrade", *flag, **environment).expect(40).failed["statement"] == "SELECT 'secret'::int"


def test_a_flag_that_is_neither(project: Project, gate: CommandLine) -> None:
    """Anything else is refused."""
    assert gate.run(project, SAGE_MIGRATE_DEBUG="maybe").expect(2).message == (
        "SAGE_MIGRATE_DEBUG is 'maybe', which is neither true nor false. Nothing was applied by this run."
    )


def test_the_configuration_file_by_its_variable(project: Project, database: Database, gate: CommandLine) -> None:
    """SAGE_MIGRATE_CONFIG stands for `-c`."""
    project.add("a1", SEEN)
    (project.directory / "alembic.ini").rename(project.directory / "db.ini")
    gate.run(project, SAGE_MIGRATE_CONFIG="db.ini").expect(0)
    assert database.version() == ["a1"]


def test_another_section_of_the_file(project: Project, database: Database, gate: CommandLine) -> None:
    """`-n` is Alembic's."""
    project.add("a1", SEEN)
    project.write("alembic.ini", "[tenant]\nscript_location = migrations\n")
    gate.run(project, "-n", "tenant", "upgrade").expect(0)
    assert database.version() == ["a1"]


def test_a_password_by_command(project: Project, database: Database, gate: CommandLine) -> None:
    """`--password-command` is asked for each connection of the runner."""
    role = f"iam_{database.name}"
    rules = database.server.directory / "data" / "pg_hba.conf"
    rules.write_text(f"host all {role} all scram-sha-256\n{rules.read_text()}")
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'token-1'; GRANT CREATE ON SCHEMA public TO {role}")
    database.execute("SELECT pg_reload_conf()")
    database.until(f"EXISTS (SELECT FROM pg_hba_file_rules WHERE '{role}' = ANY (user_name))")
    (project.directory / "token.py").write_text("print('token-1')")
    command = f"{sys.executable} token.py"
    outcome = gate.run(project, "wait", "--password-command", command, url=database.url(user=role)).expect(0)
    assert outcome.named("database_ready")


def test_the_termination_message_fits_the_kubelet(project: Project, gate: CommandLine) -> None:
    """4096 bytes are kept of it: a long reason is cut, and what is left is one line of JSON."""
    project.add("a1", f"raise ValueError({'ä' * 9000!r})")
    outcome = gate.run(project).expect(40)
    assert outcome.termination is not None
    assert len(json.dumps(outcome.termination).encode()) < 4096


def test_a_termination_log_that_cannot_be_written(project: Project, gate: CommandLine) -> None:
    """The run goes on, with a warning."""
    project.add("a1")
    outcome = gate.run(project, SAGE_MIGRATE_TERMINATION_LOG="/absent/log").expect(0)
    assert outcome.one("termination_log_not_written")["level"] == "warning"
