"""Bad input: the exit status of its class, one message that says what to do, no traceback and no password."""

# ruff: noqa: E501  messages are compared whole

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import env_files
from harness.command import CommandLine, Outcome
from harness.postgres import PASSWORD_MARK, Database
from harness.project import Project

NOTHING = " Nothing was applied by this run."
QUICK = ("upgrade", "--wait-timeout", "300ms")
UNREACHABLE = (
    f"{NOTHING} Check that the host and port are right, that the server is up, and that the network "
    "(a NetworkPolicy, a firewall) lets this client through; then run it again."
)
LADDER = f"{NOTHING} Shorten the one or lengthen the other: the outer limit must leave the inner one time to act."
NO_DURATION = f"write a positive number and a unit, such as 250ms, 1s or 5min.{NOTHING}"
CORRECT_FILE = f"{NOTHING} Correct the file; `alembic history` shows the same error."
CORRECT_ENV = f"{NOTHING} Correct it and release again; --debug shows the traceback."


def check(outcome: Outcome, status: int, message: str) -> None:
    """Expect status and message, also where Kubernetes looks, and no traceback."""
    assert outcome.expect(status).message == message
    assert outcome.termination is not None
    assert outcome.termination["status"] == status
    assert "Traceback" not in outcome.stdout + outcome.stderr


@pytest.fixture
def secretive(database: Database) -> str:
    """Make a role whose password the server checks."""
    role = f"secretive_{database.name}"
    rules = database.server.directory / "data" / "pg_hba.conf"
    text = rules.read_text()
    rules.write_text(f"host all {role} all scram-sha-256\n{text}")
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    database.execute("SELECT pg_reload_conf()")
    database.until(f"EXISTS (SELECT FROM pg_hba_file_rules WHERE '{role}' = ANY (user_name))")
    return role


def test_a_wrong_password(secretive: str, project: Project, database: Database, gate: CommandLine) -> None:
    """It fails at once."""
    outcome = gate.run(project, url=database.url(user=secretive))
    check(
        outcome,
        11,
        f'The server refused the connection: password authentication failed for user "{secretive}".{NOTHING} '
        "Correct the password in the secret; nothing heals this by waiting.",
    )
    assert outcome.named("database_awaited") == []


def test_a_wrong_password_that_only_env_py_knows(
    secretive: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The same by env.py's own connection, where the driver keeps the SQLSTATE."""
    url = database.url("asyncpg", user=secretive).replace("%", "%%")
    check(
        gate.run(Project(tmp_path / "other", env_files.ASYNC, url), url=None),
        11,
        f'The server refused the connection: password authentication failed for user "{secretive}".{NOTHING} '
        "Correct the password in the secret; nothing heals this by waiting.",
    )


def test_a_wrong_password_that_libpq_does_not_tell(
    secretive: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """Libpq gives no SQLSTATE for a failed connection, so where only env.py connects the wait timeout ends it."""
    url = database.url("psycopg2", user=secretive).replace("%", "%%")
    outcome = gate.run(Project(tmp_path / "other", url=url), *QUICK, url=None).expect(10)
    assert f'password authentication failed for user "{secretive}".{NOTHING} Check' in outcome.message


@pytest.mark.parametrize(
    ("url", "status", "message"),
    [
        pytest.param("postgresql://u:{}@127.0.0.1:1/app", 10, f"The database could not be reached within 300 ms: Connect call failed ('127.0.0.1', 1).{UNREACHABLE}", id="closed port"),
        pytest.param("postgresql://u:{}@no-such-host.invalid/app", 10, f"The database could not be reached within 300 ms: Name or service not known.{UNREACHABLE}", id="unknown host"),
        pytest.param("postgresql://u:{}@127.0.0.1:1", 2, f"DATABASE_URL: The database URL postgresql://u:***@127.0.0.1:1 names no database. Add it: …@127.0.0.1:1/DATABASE.{NOTHING}", id="no database"),
        pytest.param("postgresql+odbc://u:{}@127.0.0.1:1/app", 2, f"DATABASE_URL: The database URL names the driver 'odbc'. Known drivers: asyncpg, pg8000, psycopg, psycopg2, psycopg_async.{NOTHING}", id="unknown driver"),
        pytest.param("mysql://u:{}@127.0.0.1:1/app", 2, f"DATABASE_URL: The database URL is not usable: its scheme is 'mysql'. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.{NOTHING}", id="another kind of database"),
        pytest.param("{}", 2, f"DATABASE_URL: The database URL is not usable: it is not a URL. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE.{NOTHING}", id="no URL"),
        pytest.param("postgresql://u:{}/x@127.0.0.1:1/app", 2, f"DATABASE_URL: The database URL's port is no number. In user and password, write / as %2F, ? as %3F and # as %23.{NOTHING}", id="a slash in the password"),
        pytest.param("postgresql://u:{}@127.0.0.1:1/app?sslmode=maybe", 2, f"The connection's settings cannot be used: `sslmode` parameter must be one of: disable, allow, prefer, require, verify-ca, verify-full.{NOTHING} Correct the database URL or the PG* variables.", id="unknown sslmode"),
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere(url: str, status: int, message: str, project: Project, gate: CommandLine) -> None:
    """Each ends with the status of its class."""
    check(gate.run(project, *QUICK, url=url.format(PASSWORD_MARK)), status, message)


def test_a_port_that_only_env_py_knows(tmp_path: Path, gate: CommandLine) -> None:
    """env.py's own connection is awaited as long, and its driver's message is told in one line."""
    project = Project(tmp_path / "other", url=f"postgresql+psycopg2://u:{PASSWORD_MARK}@127.0.0.1:1/app")
    outcome = gate.run(project, *QUICK, url=None)
    reason = 'connection to server at "127.0.0.1", port 1 failed: Connection refused'
    check(outcome, 10, f"The database could not be reached: {reason}.{UNREACHABLE}")


def test_a_database_that_does_not_exist(project: Project, database: Database, gate: CommandLine) -> None:
    """The server says so, and waiting would not make it."""
    url = database.url().replace(f"/{database.name}", "/absent")
    check(
        gate.run(project, url=url),
        11,
        f'The server refused the connection: database "absent" does not exist.{NOTHING} '
        "Create the database, or correct its name in the URL.",
    )


def test_tls_that_the_server_does_not_have(project: Project, database: Database, gate: CommandLine) -> None:
    """A refused TLS setting is no reason to wait."""
    check(
        gate.run(project, url=f"{database.url()}?sslmode=require"),
        11,
        f'The server refused the connection: PostgreSQL server at "127.0.0.1:{database.server.port}" rejected SSL upgrade.'
        f"{NOTHING} Correct sslmode, or the certificates on either side.",
    )


@pytest.mark.parametrize(("file", "problem"), [("absent", "FileNotFoundError"), (".", "IsADirectoryError")])
def test_an_unreadable_url_file(file: str, problem: str, project: Project, gate: CommandLine, tmp_path: Path) -> None:
    """The file is named, and what to do about it."""
    check(
        gate.run(project, url=None, DATABASE_URL_FILE=str(tmp_path / file)),
        2,
        f"DATABASE_URL_FILE names {tmp_path / file}, which cannot be read ({problem}).{NOTHING} "
        "Mount the secret there, readable by this user, or set DATABASE_URL.",
    )


def test_no_database_at_all(project: Project, gate: CommandLine) -> None:
    """`wait` has no env.py to ask."""
    check(
        gate.run(project, "wait", url=None),
        2,
        f"No database is named.{NOTHING} Set SAGE_MIGRATE_DATABASE_URL, DATABASE_URL, DATABASE_URL_FILE or PGHOST.",
    )


def _without_configuration(project: Project) -> str:
    (project.directory / "alembic.ini").unlink()
    return (
        f"There is no alembic.ini in {project.directory}.{NOTHING} "
        "Run in the directory that holds alembic.ini (the image's is /migrations), or name the file with -c."
    )


def _without_script_location(project: Project) -> str:
    project.write("alembic.ini", "[alembic]\n")
    return (
        "alembic.ini does not lead to a migration directory: No 'script_location' key found in configuration."
        f"{NOTHING} Set script_location in it, and run in the directory that the path is relative to."
    )


def _without_section(project: Project) -> str:
    project.write("alembic.ini", "script_location = migrations\n")
    return (
        "alembic.ini does not lead to a migration directory: File contains no section headers."
        f"{NOTHING} Set script_location in it, and run in the directory that the path is relative to."
    )


def _without_env_py(project: Project) -> str:
    (project.migrations / "env.py").unlink()
    return (
        f"There is no env.py in {project.migrations}, which alembic.ini names as script_location.{NOTHING} "
        "Check that the image holds the migrations (COPY) and that the working directory is right."
    )


def _with_package_that_fails(project: Project) -> str:
    project.write("alembic.ini", "[alembic]\nprepend_sys_path = .\nscript_location = application:migrations\n")
    (project.directory / "application").mkdir()
    project.write("application/__init__.py", "raise RuntimeError('SECRET_KEY is not set')")
    return (
        "alembic.ini does not lead to a migration directory: RuntimeError: SECRET_KEY is not set."
        f"{NOTHING} Set script_location in it, and run in the directory that the path is relative to."
    )


@pytest.mark.parametrize(
    "spoil",
    [_without_configuration, _without_script_location, _without_section, _without_env_py, _with_package_that_fails],
)
def test_an_incomplete_project(spoil: Callable[[Project], str], project: Project, gate: CommandLine) -> None:
    """It is a matter of settings."""
    message = spoil(project)
    check(gate.run(project), 2, message)


def test_a_script_location_that_does_not_exist(project: Project, gate: CommandLine) -> None:
    """Alembic's own sentence is shown, without its advice to start a project."""
    project.write("alembic.ini", "[alembic]\nscript_location = absent\n")
    outcome = gate.run(project).expect(2)
    assert outcome.message.startswith("alembic.ini does not lead to a migration directory: Path doesn't exist: ")
    assert "'init'" not in outcome.message


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("raise RuntimeError('APP_KEY is missing')", f"env.py raised RuntimeError at env.py line 1: APP_KEY is missing.{CORRECT_ENV}"),
        ("import absent_module", f"env.py raised ModuleNotFoundError at env.py line 1: No module named 'absent_module'.{CORRECT_ENV}"),
        ("def :", f"env.py raised SyntaxError: invalid syntax (env.py, line 1).{CORRECT_ENV}"),
        ("import sys\nsys.exit('not by hand')", f"env.py raised SystemExit at env.py line 2: not by hand.{CORRECT_ENV}"),
        (f"raise ValueError('postgresql://u:{PASSWORD_MARK}@h/d')", f"env.py raised ValueError at env.py line 1: postgresql://u:***@h/d.{CORRECT_ENV}"),
    ],
)  # fmt: skip
def test_an_env_py_that_raises(env: str, message: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """Its own words, with the line; the lock is given back."""
    project = Project(tmp_path / "other", env)
    project.add("a1")
    check(gate.run(project), 40, message)
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def _syntax_error(project: Project) -> str:
    project.add("a1", "if True")
    return f"The history in {project.migrations} does not load: a1.py line 13: expected ':'.{CORRECT_FILE}"


def _import_error(project: Project) -> str:
    project.add("a1", head="import absent_module")
    reason = "a1.py line 10: ModuleNotFoundError: No module named 'absent_module'"
    return f"The history in {project.migrations} does not load: {reason}.{CORRECT_FILE}"


def _duplicate(project: Project) -> str:
    project.add("a1")
    project.write("migrations/versions/other.py", "revision = 'a1'\ndown_revision = None\n")
    return f"Revision a1 is declared by 2 files: a1.py, other.py.{NOTHING} Give one of them an id of its own."


def _missing(project: Project) -> str:
    project.add("b2", down="a1")
    return (
        f"Revision b2 (b2.py) follows a1, which no file declares.{NOTHING} "
        "Restore the missing file, or correct down_revision."
    )


def _cycle(project: Project) -> str:
    project.add("a1", down="b2")
    project.add("b2", down="a1")
    reason = "revisions a1, b2 follow each other in a circle"
    return f"The history in {project.migrations} does not load: {reason}.{CORRECT_FILE}"


def _two_heads(project: Project) -> str:
    project.add("a1")
    project.add("b1", down=None)
    return (
        f"The history has 2 heads: a1, b1.{NOTHING} "
        "Join them (alembic merge heads), or run `sage-migrate upgrade heads` if they are separate on purpose."
    )


def _unknown_declaration(project: Project) -> str:
    project.add("a1", head="sage_migrate = {'phase': 'later'}")
    return (
        "The declaration `sage_migrate = …` in a1.py cannot be used: phase 'later' is neither expand nor contract."
        f"{NOTHING} Known keys: phase, stall_budget, maintenance_window, reason, backfill, online."
    )


@pytest.mark.parametrize(
    "spoil", [_syntax_error, _import_error, _duplicate, _missing, _cycle, _two_heads, _unknown_declaration]
)
def test_a_broken_history(
    spoil: Callable[[Project], str], project: Project, database: Database, gate: CommandLine
) -> None:
    """It is refused before anything is changed."""
    message = spoil(project)
    check(gate.run(project), 20, message)
    assert database.version() == []


def test_a_target_that_does_not_exist(project: Project, gate: CommandLine) -> None:
    """The target is checked like the history."""
    project.add("a1")
    check(
        gate.run(project, "upgrade", "zz"),
        20,
        f"The target 'zz' is no revision of this history: Can't locate revision identified by 'zz'.{NOTHING} "
        "Name a revision that `alembic history` lists.",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--deadline=-5s"], f"--deadline cannot be used: '-5s' is not a duration: {NO_DURATION}"),
        (["--backfill-rest", "-1"], f"--backfill-rest cannot be used: '-1' is not a number such as 0.5 or 3.{NOTHING}"),
        (["--lock-timeout", "100"], f"--lock-timeout cannot be used: '100' is not a duration: {NO_DURATION}"),
        (["--lock-timeout", "0s"], f"--lock-timeout cannot be used: '0s' is shorter than 1ms, and a limit of the gate cannot be switched off with 0.{NOTHING}"),
        (["--lock-timeout", "2s"], f"The time limits contradict each other: lock-timeout (2 s) must be shorter than stall-budget (1 s).{LADDER}"),
        (["--stall-budget", "5min"], f"The time limits contradict each other: stall-budget (300 s) must be shorter than statement-timeout (180 s).{LADDER}"),
        (["--statement-timeout", "5min"], f"The time limits contradict each other: statement-timeout (300 s) must be shorter than deadline (240 s).{LADDER}"),
        (["--wait-timeout", "5min"], f"The time limits contradict each other: wait-timeout (300 s) must be shorter than deadline (240 s).{LADDER}"),
        (["--password-command", "false"], f"The password command failed (CalledProcessError).{NOTHING} Run it by hand in this image; it must print the password and exit 0."),
        (["--password-command", "true"], f"The password command printed nothing.{NOTHING} It must print the password on its first line."),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_used(arguments: list[str], message: str, project: Project, gate: CommandLine) -> None:
    """The option is named, and what it accepts."""
    project.add("a1")
    check(gate.run(project, "upgrade", *arguments), 2, message)


def test_a_variable_that_cannot_be_used(project: Project, gate: CommandLine) -> None:
    """An environment variable is named as such."""
    message = f"SAGE_MIGRATE_IF_AHEAD is 'maybe'.{NOTHING} Use one of: known, refuse, accept."
    check(gate.run(project, SAGE_MIGRATE_IF_AHEAD="maybe"), 2, message)
    message = f"SAGE_MIGRATE_LOCK_TIMEOUT cannot be used: '-1s' is not a duration: {NO_DURATION}"
    check(gate.run(project, SAGE_MIGRATE_LOCK_TIMEOUT="-1s"), 2, message)


def test_a_log_format_that_does_not_exist(project: Project, gate: CommandLine) -> None:
    """It is refused like any other value, and told in JSON."""
    message = f"SAGE_MIGRATE_LOG_FORMAT is 'xml'.{NOTHING} Use one of: json, console."
    check(gate.run(project, SAGE_MIGRATE_LOG_FORMAT="xml"), 2, message)


def test_a_role_that_cannot_be_taken(project: Project, database: Database, gate: CommandLine) -> None:
    """`--role` names a role that the connecting one must be a member of."""
    project.add("a1")
    check(
        gate.run(project, "upgrade", "--role", "absent"),
        2,
        f'The role absent cannot be taken: role "absent" does not exist.{NOTHING} '
        "Create it, or GRANT it to the role that connects; --role (SAGE_MIGRATE_ROLE) names it.",
    )
    assert database.version() == []


def test_a_setting_that_does_not_exist(project: Project, gate: CommandLine) -> None:
    """A typing error in pyproject.toml is no silent default."""
    project.write("pyproject.toml", "[tool.sage-migrate]\nlocktimeout = '1s'\n")
    outcome = gate.run(project).expect(2)
    assert outcome.message.startswith("pyproject.toml sets locktimeout in [tool.sage-migrate], which is no setting.")


@pytest.mark.parametrize(
    "arguments", [["upgrade", "--foo"], ["upgrade", "--if-ahead", "maybe"], ["--log-format", "json"]]
)
def test_a_command_line_that_cannot_be_parsed(arguments: list[str], project: Project, gate: CommandLine) -> None:
    """The usage is shown, with the status of usage."""
    assert gate.run(project, *arguments).expect(2).stderr.startswith("usage: sage-migrate ")
