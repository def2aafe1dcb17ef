"""Revisions that do more than Alembic knows of: what is applied is what is reported, and a repeat ends well or says why."""

import pytest
from harness import env_files
from harness.command import PATIENT, CommandLine
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
OWN = (
    'import os; url = os.environ["DATABASE_URL"].replace("+asyncpg", "+psycopg2"); '
    "own = sa.create_engine(url, poolclass=sa.pool.NullPool)"
)


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_connection_of_its_own(
    driver: str, env: str, project: Project, accounts: Database, gate: CommandLine
) -> None:
    """It is left alone: neither limited nor committed or rolled back by the runner."""
    project.write("migrations/env.py", env)
    project.add("a1", f"""
        {OWN}
        with own.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS own")
        op.execute("CREATE TABLE one (id int)")
        """)  # fmt: skip
    project.add("b2", f"""
        {OWN}
        with own.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE beside (id int)")
        op.execute("CREATE TABLE two (id int)")
        op.execute("SELECT 1/0")
        """)  # fmt: skip
    outcome = gate.run(project, url=accounts.url(driver)).expect(40)
    assert accounts.value("SELECT own FROM seen") == "0"
    assert outcome.applied == ["a1"]
    assert "b2 was rolled back whole." in outcome.message
    assert [accounts.has(table) for table in ("one", "two", "beside")] == [True, False, True]
    assert gate.run(project, url=accounts.url(driver)).expect(40).failed["sqlstate"] == "42P07"


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_connection_of_its_own_that_waits_for_its_own_revision(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, accounts: Database, gate: CommandLine, machine: Machine
) -> None:
    """Nothing else would ever notice: no deadlock for PostgreSQL, and no end for the process."""
    project.write("migrations/env.py", env)
    project.add("a1", f"""
        {OWN}
        op.execute("LOCK TABLE accounts")
        with own.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM accounts")
        op.execute("SELECT 1")
        """)  # fmt: skip
    arguments = ("upgrade", "--lock-timeout", "50ms", "--stall-budget", "400ms")
    outcome = gate.run(project, *arguments, url=accounts.url(driver)).expect(32)
    assert outcome.one("stall_budget_exceeded")["victims"] == 1
    assert outcome.seconds < machine.allow(10)
    assert accounts.version() == []


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_commit_of_its_own(driver: str, env: str, project: Project, accounts: Database, gate: CommandLine) -> None:
    """What follows the commit is applied with the version row all the same, and that is logged."""
    project.write("migrations/env.py", env)
    project.add(
        "a1", "op.execute('CREATE TABLE one (id int)'); op.get_bind().commit(); op.execute('CREATE TABLE two (id int)')"
    )
    outcome = gate.run(project, url=accounts.url(driver)).expect(0)
    assert outcome.one("revision_committed_itself")["revision"] == "a1"
    assert accounts.version() == ["a1"]
    assert [accounts.has(table) for table in ("one", "two")] == [True, True]
    assert gate.run(project, url=accounts.url(driver)).expect(0).applied == []


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_failure_after_a_commit_of_its_own(
    driver: str, env: str, project: Project, accounts: Database, gate: CommandLine
) -> None:
    """The committed part is told, and a repeat refuses because it is there."""
    project.write("migrations/env.py", env)
    project.add("a1", """
        op.execute("CREATE TABLE one (id int)")
        op.get_bind().commit()
        op.execute("CREATE TABLE two (id int)")
        op.execute("SELECT 1/0")
        """)  # fmt: skip
    outcome = gate.run(project, url=accounts.url(driver)).expect(40)
    assert (
        "a1 committed a part of its work before it failed (an autocommit block, or a commit of its own)."
        in outcome.message
    )
    assert [accounts.has(table) for table in ("one", "two")] == [True, False]
    assert accounts.version() == []
    again = gate.run(project, url=accounts.url(driver)).expect(40)
    assert again.failed["sqlstate"] == "42P07"
    assert "an earlier run committed a part of this revision" in again.message


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_an_autocommit_block_that_fails_half_way(
    driver: str, env: str, project: Project, accounts: Database, gate: CommandLine
) -> None:
    """The first statement is committed and told as that; the version row is not written; a repeat says why it fails."""
    project.write("migrations/env.py", env)
    project.add("a1", """
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY accounts_name ON accounts (name)")
            op.execute("CREATE INDEX CONCURRENTLY accounts_nothing ON accounts (nothing)")
        """)  # fmt: skip
    outcome = gate.run(project, url=accounts.url(driver)).expect(40)
    assert (
        "a1 committed a part of its work before it failed (an autocommit block, or a commit of its own)."
        in outcome.message
    )
    assert accounts.version() == []
    assert accounts.has("accounts_name")
    again = gate.run(project, url=accounts.url(driver)).expect(40)
    assert again.failed["sqlstate"] == "42P07"


def test_a_lock_that_is_not_to_be_had_in_an_autocommit_block(
    project: Project, accounts: Database, gate: CommandLine
) -> None:
    """After a statement that is committed the revision is not begun again; the report says so."""
    project.add("a1", """
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE one (id int)")
            op.execute("ALTER TABLE accounts ADD x int")
        """)  # fmt: skip
    reader = accounts.reader("accounts")
    outcome = gate.run(project).expect(31)
    reader.rollback()
    assert outcome.named("lock_try_failed") == []
    assert "a1 committed a part of its work before it failed" in outcome.message
    assert "It could not be tried again by this run, because a part of it is committed" in outcome.message


def test_settings_and_looks_before_an_autocommit_block(project: Project, accounts: Database, gate: CommandLine) -> None:
    """What changes nothing is no part that was committed: the block may be tried again."""
    project.add("a1", """
        op.execute("SET search_path = public")
        with op.get_context().autocommit_block():
            assert "accounts" in sa.inspect(op.get_bind()).get_table_names()
            op.execute("ALTER TABLE accounts ADD x int")
        """)  # fmt: skip
    reader = accounts.reader("accounts")
    assert gate.start(project, "upgrade", *PATIENT).wait_behind(reader).expect(0).one("revision_applied")["tries"] == 2


def test_a_savepoint(project: Project, accounts: Database, gate: CommandLine) -> None:
    """Part of a revision may fail in a savepoint; a lock that was not to be had there ends the try."""
    project.add("a1", """
        try:
            with op.get_bind().begin_nested():
                op.execute("SELECT 1/0")
        except sa.exc.DBAPIError:
            pass
        op.execute("CREATE TABLE one (id int)")
        with op.get_bind().begin_nested():
            op.execute("ALTER TABLE accounts ADD x int")
        """)  # fmt: skip
    reader = accounts.reader("accounts")
    assert gate.start(project, "upgrade", *PATIENT).wait_behind(reader).expect(0).one("revision_applied")["tries"] == 2
    assert accounts.has("one")


def test_an_external_transaction_is_not_patient(project: Project, accounts: Database, gate: CommandLine) -> None:
    """Where one transaction holds all revisions, a VALIDATE that begins a revision has locks behind it."""
    project.write(
        "migrations/env.py",
        env_files.SYNC.replace("with connectable.connect() as connection:", "with connectable.begin() as connection:"),
    )
    accounts.execute(
        "ALTER TABLE accounts ADD CONSTRAINT short CHECK (length(name) < 100) NOT VALID; CREATE TABLE people (id int)"
    )
    project.add("a1", "ALTER TABLE people ADD x int")
    project.add("b2", "ALTER TABLE accounts VALIDATE CONSTRAINT short")
    operator = accounts.connect("operator", autocommit=False)
    operator.execute(b"LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE")
    run = gate.start(project)
    run.until("lock_try_failed", revision="b2")
    accounts.connect("webapp", lock_timeout="1ms").execute(b"SELECT * FROM people")
    operator.rollback()
    run.wait().expect(0)
    assert accounts.version() == ["b2"]
