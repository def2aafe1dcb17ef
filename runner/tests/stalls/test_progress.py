"""A long statement says how far it is."""

from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project

from stalls.competitor import Competitor


def test_an_index_on_a_large_table(project: Project, database: Database, gate: CommandLine) -> None:
    """An event every five seconds has the phase and the share that is done."""
    database.execute(
        "CREATE TABLE accounts (id int, filler text) WITH (fillfactor = 10);"
        " INSERT INTO accounts SELECT n, repeat('x', 500) FROM generate_series(1, 120) AS n;"
        " CREATE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.1); RETURN id; END'"
    )
    project.add("a1", "CREATE INDEX accounts_slow ON accounts (slow(id))")
    outcome = gate.run(project).expect(0)
    first, second = outcome.named("statement_progress")
    assert first["statement"] == "CREATE INDEX accounts_slow ON accounts (slow(id))"
    assert first["phase"] == "building index: scanning table"
    assert (first["unit"], first["total"]) == ("blocks", 120)
    assert 0 < first["fraction"] < second["fraction"] <= 1
    assert 4.9 < first["elapsed_seconds"] < second["elapsed_seconds"] - 4


def test_a_statement_of_which_postgresql_tells_nothing(project: Project, database: Database, gate: CommandLine) -> None:
    """The time that it has taken, and the longest wait that it caused, are told all the same."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", "op.execute('LOCK TABLE accounts'); op.execute('SELECT pg_sleep(6)')")
    run = gate.start(project, "upgrade", "--stall-budget", "20s")
    database.until_running("%pg_sleep(6)%")
    app = Competitor(database.connect("webapp"), "SELECT * FROM accounts")
    outcome = run.wait().expect(0)
    progress = outcome.one("statement_progress")
    assert (progress["statement"], "phase" in progress) == ("SELECT pg_sleep(?)", False)
    assert app.seconds() > 4
