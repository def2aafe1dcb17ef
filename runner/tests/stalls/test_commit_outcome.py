"""A connection that breaks around COMMIT: what is reported is what is there, and nothing is applied twice."""

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

from stalls.commit_proxy import BEFORE, IN_FLIGHT, UNANSWERED, CommitProxy

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
ONE_TRANSACTION = env_files.SYNC.replace(
    "with connectable.connect() as connection:", "with connectable.begin() as connection:"
)
APPLIED = "Applied by this run, and staying so: a1. "
NOTHING = "Nothing was applied by this run. a1 was rolled back whole. "


@pytest.fixture
def project(project: Project, database: Database) -> Project:
    """Make a project whose revision would be noticed if it were applied twice, and one after it."""
    database.execute("CREATE TABLE counted (id int)")
    project.add("a1", "INSERT INTO counted VALUES (1)")
    project.add("b2", "INSERT INTO counted VALUES (2)")
    return project


@pytest.mark.parametrize(("driver", "env"), STYLES)
@pytest.mark.parametrize("moment", [BEFORE, UNANSWERED])
def test_the_connection_breaks_at_commit(  # noqa: PLR0913, PLR0917  parameters and fixtures
    moment: str, driver: str, env: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """The version table tells whether the revision was committed; the next run goes on from there."""
    project.write("migrations/env.py", env)
    with CommitProxy(database.server.port, moment) as proxy:
        outcome = gate.run(project, url=database.url(driver, port=proxy.port)).expect(41)
        assert proxy.has_cut
    committed = moment == UNANSWERED
    assert outcome.one("commit_outcome")["committed"] is committed
    assert outcome.applied == (["a1"] if committed else [])
    assert (APPLIED if committed else NOTHING) in outcome.message
    assert database.version() == (["a1"] if committed else [])
    assert gate.run(project, url=database.url(driver)).expect(0).applied == (["b2"] if committed else ["a1", "b2"])
    assert database.rows("SELECT id FROM counted ORDER BY 1") == [(1,), (2,)]


def test_the_connection_breaks_while_the_server_commits(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """The version table is read when the server has ended the transaction, one way or the other, not before."""
    database.execute("""
        CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON counted DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nap()
        """)  # fmt: skip
    with CommitProxy(database.server.port, IN_FLIGHT) as proxy:
        outcome = gate.run(project, url=database.url(port=proxy.port)).expect(41)
    committed = outcome.one("commit_outcome")["committed"]
    assert database.version() == (["a1"] if committed else [])
    assert outcome.applied == (["a1"] if committed else [])
    gate.run(project).expect(0)
    assert database.rows("SELECT id FROM counted ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize("moment", [BEFORE, UNANSWERED])
def test_one_transaction_for_all(moment: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Where env.py's own transaction holds all revisions, all are reported, or none."""
    project.write("migrations/env.py", ONE_TRANSACTION)
    with CommitProxy(database.server.port, moment) as proxy:
        outcome = gate.run(project, url=database.url(port=proxy.port)).expect(41)
        assert proxy.has_cut
    committed = moment == UNANSWERED
    assert outcome.one("external_transaction")
    assert outcome.failed["applied"] == (["a1", "b2"] if committed else [])
    assert database.version() == (["b2"] if committed else [])
    assert database.rows("SELECT id FROM counted ORDER BY 1") == ([(1,), (2,)] if committed else [])
    gate.run(project).expect(0)
    assert database.rows("SELECT id FROM counted ORDER BY 1") == [(1,), (2,)]


def test_the_server_is_gone_after_commit(project: Project, database: Database, gate: CommandLine) -> None:
    """When nobody can be asked, the report says that it is not known."""
    with CommitProxy(database.server.port, UNANSWERED, silent_afterwards=True) as proxy:
        outcome = gate.run(project, url=database.url(port=proxy.port)).expect(41)
    assert outcome.message.startswith("The connection to the server broke in revision a1. ")
    assert (
        "Nothing was applied by this run. Whether a1 was committed is not known: look at the version table."
        in outcome.message
    )
    assert gate.run(project).expect(0).applied == ["b2"]
