"""The happy path: each pending revision in a transaction of its own, by every driver."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.env_files import STYLES, Style
from harness.postgres import PASSWORD, Database
from harness.project import Project


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_applies_all_pending_revisions(style: Style, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """Every driver, sync and async, brings the database to head."""
    project = Project(tmp_path / "project", style.env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "CREATE TABLE two (id int)")
    outcome = gate.run(project, url=database.url(style.driver)).expect(0)
    assert outcome.applied == ["a1", "b2"]
    assert database.version() == ["b2"]
    assert outcome.termination == {"status": 0, "reason": "applied", "revision": "b2"}


def test_does_nothing_at_head(project: Project, gate: CommandLine) -> None:
    """A second run finds nothing to do."""
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    outcome = gate.run(project).expect(0)
    assert outcome.applied == []
    assert outcome.one("finished")["outcome"] == "nothing to do"


def test_each_revision_has_a_transaction_of_its_own(project: Project, database: Database, gate: CommandLine) -> None:
    """Two revisions run in two transactions, each with its version row."""
    database.execute("CREATE TABLE seen (revision text, transaction bigint)")
    for revision in ("a1", "b2"):
        project.add(revision, f"INSERT INTO seen VALUES ('{revision}', txid_current())")
    gate.run(project).expect(0)
    assert database.value("SELECT count(DISTINCT transaction) FROM seen") == 2


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_failed_revision_keeps_those_before_it(
    style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The third revision fails and is rolled back whole; two stay."""
    project = Project(tmp_path / "project", style.env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "CREATE TABLE two (id int)")
    project.add("c3", "op.execute('CREATE TABLE three (id int)'); op.execute('ALTER TABLE absent ADD x int')")
    project.add("d4", "CREATE TABLE four (id int)")
    outcome = gate.run(project, url=database.url(style.driver)).expect(40)
    assert outcome.message == (
        'Revision c3 failed: relation "absent" does not exist (SQLSTATE 42P01) in: ALTER TABLE absent ADD x int. '
        "Applied by this run, and staying so: a1, b2. c3 was rolled back whole. "
        "Correct the revision, try it on a copy of the database, and release again."
    )
    assert outcome.failed["applied"] == ["a1", "b2"]
    assert outcome.failed["pending"] == ["c3", "d4"]
    assert outcome.termination == {
        "status": 40,
        "revision": "c3",
        "sqlstate": "42P01",
        "reason": 'Revision c3 failed: relation "absent" does not exist (SQLSTATE 42P01) in: ALTER TABLE absent ADD x int. '
        "Applied by this run, and staying so: a1, b2. c3 was rolled back whole.",
        "remedy": "Correct the revision, try it on a copy of the database, and release again.",
    }
    assert database.version() == ["b2"]
    assert not database.has("three")


def test_stops_at_the_revision_that_was_asked_for(project: Project, database: Database, gate: CommandLine) -> None:
    """`upgrade REVISION` leaves later ones pending; `+1` goes one on."""
    for revision in ("a1", "b2", "c3"):
        project.add(revision)
    assert gate.run(project, "upgrade", "a1").expect(0).applied == ["a1"]
    assert gate.run(project, "upgrade", "+1").expect(0).applied == ["b2"]
    assert database.version() == ["b2"]


def test_several_heads_on_purpose(project: Project, database: Database, gate: CommandLine) -> None:
    """`branch@head` and `heads` name what `head` alone cannot."""
    project.add("a1", labels=("left",))
    project.add("b1", down=None, labels=("right",))
    assert gate.run(project, "upgrade", "right@head").expect(0).applied == ["b1"]
    assert gate.run(project, "upgrade", "heads").expect(0).applied == ["a1"]
    assert database.version() == ["a1", "b1"]


def test_a_merge_revision(project: Project, database: Database, gate: CommandLine) -> None:
    """Two branches and their merge end in one version row."""
    project.add("a1")
    project.add("b2", down="a1")
    project.add("c2", down="a1", depends_on="b2")
    project.add("d3", down=("b2", "c2"))
    gate.run(project).expect(0)
    assert database.version() == ["d3"]


def test_an_index_made_concurrently(project: Project, database: Database, gate: CommandLine) -> None:
    """An autocommit block does not wait for the runner's own sessions."""
    project.add("a1", "CREATE TABLE one (id int)")
    project.add(
        "b2",
        """
        with op.get_context().autocommit_block():
            op.create_index("one_id", "one", ["id"], postgresql_concurrently=True)
        """,
    )
    gate.run(project).expect(0)
    assert database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_id'::regclass")


@pytest.mark.parametrize("style", [STYLES[0], STYLES[2]], ids=lambda style: style.name)
@pytest.mark.parametrize("source", ["ini", "PGHOST", "DATABASE_URL_FILE", "SAGE_MIGRATE_DATABASE_URL", "no driver"])
def test_finds_the_database(style: Style, source: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """The URL may come from any of its places, with or without a driver."""
    project = Project(tmp_path / "project", style.env)
    if source == "ini":
        project = Project(tmp_path / "other", style.env, database.url(style.driver).replace("%", "%%"))
    project.add("a1", "CREATE TABLE one (id int)")
    (tmp_path / "secret").write_text(database.url() + "\n")
    environment = {
        "ini": {},
        "PGHOST": {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(database.server.port),
            "PGDATABASE": database.name,
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
        },
        "DATABASE_URL_FILE": {"DATABASE_URL_FILE": str(tmp_path / "secret")},
        "SAGE_MIGRATE_DATABASE_URL": {
            "SAGE_MIGRATE_DATABASE_URL": database.url(),
            "DATABASE_URL": f"postgresql+{style.driver}://pooler.invalid/app",
        },
        "no driver": {"DATABASE_URL": database.url()},
    }[source]
    gate.run(project, url=None, **environment).expect(0)
    assert database.has("one")


def test_limits_are_set_on_the_migrations_session(project: Project, database: Database, gate: CommandLine) -> None:
    """env.py's connection gets the timeouts of the run, and keeps them in a second revision."""
    names = ("lock_timeout", "statement_timeout", "client_connection_check_interval", "tcp_keepalives_idle")
    values = ", ".join(f"current_setting('{name}')" for name in names)
    for revision in ("a1", "b2"):
        project.add(revision, f"CREATE TABLE seen_{revision} AS SELECT concat_ws(' ', {values}) AS limits")
    gate.run(project, "upgrade", "--lock-timeout", "250ms", "--statement-timeout", "7s").expect(0)
    for revision in ("a1", "b2"):
        assert database.value(f"SELECT limits FROM seen_{revision}") == "250ms 7s 500ms 5"


def test_a_role_of_its_own(project: Project, database: Database, gate: CommandLine) -> None:
    """`--role` makes what is created belong to that role."""
    role = f"owner_{database.name}"
    database.execute(f"CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}")
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project, "upgrade", "--role", role).expect(0)
    tables = "'one'::regclass, 'alembic_version'::regclass"
    assert database.rows(f"SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE oid IN ({tables})") == [(role,)]
    database.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_the_phase_expand_stops_before_a_contract_revision(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """`--phase expand` applies what comes before, and refuses the contract revision with its override."""
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "DROP TABLE one", head="sage_migrate = {'phase': 'contract', 'reason': 'gone from 2.0'}")
    outcome = gate.run(project, "upgrade", "--phase", "expand").expect(23)
    assert outcome.message == (
        "Revision b2 is declared `contract`: pods of the previous release may not survive it, and this run may only expand. "
        "Applied by this run, and staying so: a1. "
        "Deploy it with the release after the one that stopped using what it takes away; or, once, with a reason: "
        "--phase all (SAGE_MIGRATE_PHASE, Helm: migration.phase) when those pods are gone."
    )
    assert database.version() == ["a1"]
    gate.run(project).expect(0)
    assert not database.has("one")


def test_x_arguments_reach_env_py(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """`-x name=value` is read by env.py as under bare Alembic."""
    env = env_files.SYNC.replace(
        "target_metadata = None", "schema = context.get_x_argument(as_dictionary=True)['schema']"
    )
    env = env.replace("target_metadata=target_metadata", "version_table_schema=schema")
    project = Project(tmp_path / "project", env)
    database.execute("CREATE SCHEMA tenant")
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project, "-x", "schema=tenant", "upgrade").expect(0)
    assert database.version("tenant.alembic_version") == ["a1"]


def test_logging_of_env_py_becomes_events(tmp_path: Path, gate: CommandLine) -> None:
    """What env.py's logging configuration prints is one JSON object a line too."""
    project = Project(tmp_path / "project", "import logging\nlogging.basicConfig(level='INFO')\n" + env_files.SYNC)
    project.add("a1", "import logging; logging.getLogger('app').warning('%s rows', 3)")
    outcome = gate.run(project).expect(0)
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert {"event": "log", "logger": "app", "message": "3 rows", "level": "warning"}.items() <= lines[-1].items()


def test_console_output_is_for_a_person(project: Project, gate: CommandLine) -> None:
    """`--log-format console` prints no JSON."""
    project.add("a1")
    outcome = gate.run(project, "--log-format", "console", "upgrade").expect(0)
    assert outcome.events == []
    assert "revision_applied" in outcome.stdout


@pytest.mark.parametrize(
    "command", [[str(Path(sys.executable).with_name("sage-migrate"))], [sys.executable, "-m", "sage_migrate"]]
)
def test_the_installed_command(command: list[str], project: Project, database: Database) -> None:
    """The console script and the module are the same program."""
    project.add("a1", "CREATE TABLE one (id int)")
    environment = {**os.environ, "DATABASE_URL": database.url()}
    done = subprocess.run(
        [*command, "upgrade"], cwd=project.directory, env=environment, check=False, capture_output=True
    )
    assert done.returncode == 0, done
    assert database.has("one")


def test_the_version(project: Project, gate: CommandLine) -> None:
    """`--version` needs no database."""
    assert gate.run(project, "--version", url=None).expect(0).stdout.startswith("sage-migrate ")


def test_wait_returns_when_the_database_answers(project: Project, gate: CommandLine) -> None:
    """`wait` touches nothing and needs no history."""
    outcome = gate.run(project, "wait").expect(0)
    assert outcome.one("finished")["outcome"] == "database ready"
