"""Statements that block nobody take their time, and what a broken-off one left is put right."""

import pytest
from harness import env_files
from harness.command import CommandLine
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project

from stalls.competitor import Competitor

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
CREATE = "CREATE INDEX CONCURRENTLY accounts_name ON accounts (name)"
SLOW = "CREATE INDEX CONCURRENTLY accounts_slow ON accounts (slow(id))"
QUICK = ("upgrade", "--lock-timeout", "50ms", "--stall-budget", "400ms")


def apart(*statements: str) -> str:
    """Return a revision that runs each statement outside a transaction."""
    return "\n".join(
        ["with op.get_context().autocommit_block():", *(f"    op.execute({each!r})" for each in statements)]
    )


@pytest.fixture
def database(accounts: Database) -> Database:
    """Return the database with the table, and a function that makes an index slow to build."""
    accounts.execute(
        "CREATE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN id; END'"
    )
    return accounts


def leave_invalid(database: Database, statement: str) -> None:
    """Leave an INVALID index, as a build does that is cancelled while it waits for a writer."""
    writer = database.connect("writer", autocommit=False)
    writer.execute(b"UPDATE accounts SET name = name WHERE id = 1")
    builder = database.connect("builder")
    building = Competitor(builder, statement)
    database.until_waiting()
    builder.cancel_safe()
    with pytest.raises(Exception, match="canceling statement"):
        building.seconds()
    writer.rollback()


def invalid(database: Database) -> list[str]:
    """Return the INVALID indexes."""
    return [
        name
        for (name,) in database.rows("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1")
    ]


def indexes(database: Database, table: str = "accounts") -> list[str]:
    """Return the valid indexes of a table."""
    return [
        name
        for (name,) in database.rows(
            f"SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = '{table}'::regclass AND indisvalid ORDER BY 1"
        )
    ]


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_build_waits_for_a_long_transaction(
    driver: str, env: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """It waits beyond lock_timeout, in one try, and stalls nobody."""
    project.write("migrations/env.py", env)
    project.add("a1", apart(CREATE))
    reader = database.reader("accounts")
    writer = database.connect("writer", autocommit=False)
    writer.execute(b"UPDATE accounts SET name = name WHERE id = 1")
    run = gate.start(project, *QUICK, url=database.url(driver))
    database.until_waiting(seconds=0.5)
    database.connect("webapp", lock_timeout="1ms").execute(b"UPDATE accounts SET name = name WHERE id = 2")
    writer.rollback()
    reader.rollback()
    outcome = run.wait().expect(0)
    assert outcome.one("revision_applied")["tries"] == 1
    assert indexes(database) == ["accounts_name", "accounts_pkey"]


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_build_that_was_broken_off_is_done_anew(
    driver: str, env: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """The INVALID index that this very statement left is dropped first, also behind a long transaction."""
    leave_invalid(database, CREATE)
    assert invalid(database) == ["accounts_name"]
    project.write("migrations/env.py", env)
    project.add("a1", apart(CREATE))
    writer = database.connect("writer", autocommit=False)
    writer.execute(b"UPDATE accounts SET name = name WHERE id = 1")
    run = gate.start(project, *QUICK, url=database.url(driver))
    database.until_waiting(seconds=0.5)
    writer.rollback()
    outcome = run.wait().expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "public.accounts_name"
    assert outcome.one("revision_applied")["tries"] == 1
    assert indexes(database) == ["accounts_name", "accounts_pkey"]


def test_a_cancelled_build_says_what_it_left(project: Project, database: Database, gate: CommandLine) -> None:
    """Somebody's cancel leaves an INVALID index; the report says so, and the next run mends it."""
    project.add("a1", apart(CREATE))
    writer = database.connect("writer", autocommit=False)
    writer.execute(b"UPDATE accounts SET name = name WHERE id = 1")
    run = gate.start(project, *QUICK)
    database.until_waiting()
    pid = database.value("SELECT pid FROM pg_locks WHERE NOT granted")
    database.execute(f"SELECT pg_cancel_backend({pid})")
    outcome = run.wait().expect(42)
    assert (
        "Nothing was applied by this run. a1 was rolled back, save for what its last statement may have left "
        "(an INVALID index, a pending detach): the next run puts that right."
    ) in outcome.message
    writer.rollback()
    assert invalid(database) == ["accounts_name"]
    gate.run(project, *QUICK).expect(0)
    assert indexes(database) == ["accounts_name", "accounts_pkey"]


@pytest.mark.parametrize("name", ['"Accounts by Name"', "Accounts_Name", '"a.b"', '"with ""quotes"""'])
def test_names_as_people_write_them(name: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Quoted, of mixed case, with a schema: the index is found under the name that PostgreSQL gave it."""
    statement = f'/* by name */ CREATE  UNIQUE INDEX\n CONCURRENTLY {name} ON public."accounts" USING btree (name)'
    leave_invalid(database, statement)
    (left,) = invalid(database)
    project.add("a1", apart(statement))
    gate.run(project, *QUICK).expect(0)
    assert invalid(database) == []
    assert database.value(
        f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{left.replace(chr(39), chr(39) * 2)}'::regclass"
    )


def test_a_table_in_another_schema(project: Project, database: Database, gate: CommandLine) -> None:
    """Of two INVALID indexes of one name, the one in this statement's schema is dropped and the other one reported."""
    database.execute("CREATE SCHEMA other; CREATE TABLE other.accounts (id int, name text)")
    leave_invalid(database, CREATE)
    database.execute("INSERT INTO other.accounts VALUES (1, 'a'), (2, 'a')")
    with pytest.raises(Exception, match="could not create unique index"):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY accounts_name ON other.accounts (name)")
    project.add("a1", apart("CREATE INDEX CONCURRENTLY accounts_name ON other.accounts (name)"))
    outcome = gate.run(project, *QUICK).expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "other.accounts_name"
    found = outcome.one("invalid_index_found")
    assert (found["index"], found["relation"]) == ("accounts_name", "accounts")
    assert found["remedy"] == "DROP INDEX CONCURRENTLY accounts_name, or REINDEX it"
    assert invalid(database) == ["accounts_name"]


def test_an_index_of_that_name_on_another_table(project: Project, database: Database, gate: CommandLine) -> None:
    """It is not ours to drop: the statement fails as it would by hand."""
    leave_invalid(database, CREATE)
    database.execute("CREATE TABLE people (name text)")
    project.add("a1", apart("CREATE INDEX CONCURRENTLY accounts_name ON people (name)"))
    outcome = gate.run(project, *QUICK).expect(40)
    assert outcome.failed["sqlstate"] == "42P07"
    assert invalid(database) == ["accounts_name"]


def test_the_index_of_a_partitioned_table(project: Project, database: Database, gate: CommandLine) -> None:
    """ON ONLY makes an INVALID index that waits for those of the partitions: not dropped, not reported."""
    database.execute(
        "CREATE TABLE events (id int, name text) PARTITION BY RANGE (id);"
        " CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (100);"
        " CREATE INDEX events_name ON ONLY events (name)"
    )
    project.add("a1", apart("CREATE INDEX CONCURRENTLY events_1_name ON events_1 (name)"))
    project.add("b2", apart("CREATE INDEX CONCURRENTLY IF NOT EXISTS events_name ON events (name)"))
    outcome = gate.run(project, *QUICK).expect(40)
    assert outcome.applied == ["a1"]
    assert outcome.named("invalid_index_dropped") == []
    assert invalid(database) == ["events_name"]
    project.add("b2", "ALTER INDEX events_name ATTACH PARTITION events_1_name", down="a1")
    outcome = gate.run(project, *QUICK).expect(0)
    assert outcome.named("invalid_index_found") == []
    assert invalid(database) == []


def test_an_index_that_another_session_builds(project: Project, database: Database, gate: CommandLine) -> None:
    """It is not dropped, and IF NOT EXISTS does not pass it off as done."""
    writer = database.connect("writer", autocommit=False)
    writer.execute(b"UPDATE accounts SET name = name WHERE id = 1")
    building = Competitor(database.connect("builder"), CREATE)
    database.until_waiting()
    project.add("a1", apart(CREATE.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")))
    run = gate.start(project, *QUICK, "--stall-budget", "20s")
    database.until_waiting(count=2)
    writer.rollback()
    building.seconds()
    outcome = run.wait().expect(0)
    assert outcome.named("invalid_index_dropped") == []
    assert indexes(database) == ["accounts_name", "accounts_pkey"]


def test_if_not_exists_on_an_index_that_stays_invalid(project: Project, database: Database, gate: CommandLine) -> None:
    """Where a revision's own timeouts apply too, an INVALID index is no success."""
    database.execute(
        "CREATE TABLE events (id int, name text) PARTITION BY RANGE (id);"
        " CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (100)"
    )
    leave_invalid(database, CREATE)
    locker = database.connect("operator", autocommit=False)
    locker.execute(b"LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE")
    own = "op.execute(\"SET lock_timeout = '20s'\")\n"
    project.add("a1", own + apart(CREATE.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")))
    run = gate.start(project, *QUICK, "--stall-budget", "20s")
    database.until_waiting()
    locker.rollback()
    outcome = run.wait().expect(40)
    assert outcome.message.startswith(
        "Index accounts_name exists and is INVALID: another session is building it, or somebody left it so."
    )
    assert gate.run(project, *QUICK).expect(0).one("invalid_index_dropped")["index"] == "public.accounts_name"
    assert indexes(database) == ["accounts_name", "accounts_pkey"]


def test_what_reindex_left(project: Project, database: Database, gate: CommandLine) -> None:
    """`_ccnew` of an earlier REINDEX CONCURRENTLY of this index goes; that of another index stays and is reported."""
    database.execute("CREATE INDEX accounts_name ON accounts (name)")
    leave_invalid(database, "REINDEX INDEX CONCURRENTLY accounts_name")
    leave_invalid(database, "REINDEX INDEX CONCURRENTLY accounts_pkey")
    assert invalid(database) == ["accounts_name_ccnew", "accounts_pkey_ccnew"]
    project.add("a1", apart("REINDEX INDEX CONCURRENTLY accounts_name"))
    project.add("b2", apart("REINDEX (VERBOSE, CONCURRENTLY) TABLE public.accounts"))
    outcome = gate.run(project, "upgrade", "a1").expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "public.accounts_name_ccnew"
    assert outcome.one("invalid_index_found")["index"] == "accounts_pkey_ccnew"
    gate.run(project, *QUICK).expect(0)
    assert indexes(database) == ["accounts_name", "accounts_pkey"]
    assert invalid(database) == []


def test_what_reindex_left_at_its_end(project: Project, database: Database, gate: CommandLine) -> None:
    """`_ccold`, the former index that could not be dropped any more, goes as well."""
    database.execute("CREATE INDEX accounts_name ON accounts (name)")
    reader = database.connect("reader", autocommit=False)
    operator = database.connect("operator")
    reader.execute(b"SELECT * FROM accounts")
    rebuilding = Competitor(operator, "REINDEX INDEX CONCURRENTLY accounts_name")
    database.until("to_regclass('accounts_name_ccold') IS NOT NULL")
    database.until_waiting()
    operator.cancel_safe()
    with pytest.raises(Exception, match="canceling statement"):
        rebuilding.seconds()
    reader.rollback()
    assert invalid(database) == ["accounts_name_ccold"]
    project.add("a1", apart("REINDEX INDEX CONCURRENTLY accounts_name"))
    outcome = gate.run(project, *QUICK).expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "public.accounts_name_ccold"
    assert (indexes(database), invalid(database)) == (["accounts_name", "accounts_pkey"], [])


DETACH = 'ALTER TABLE events DETACH PARTITION "Events 1" CONCURRENTLY'
PENDING = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"


@pytest.fixture
def events(database: Database) -> Database:
    """Return the database with a partitioned table."""
    database.execute(
        "CREATE TABLE events (id int, name text) PARTITION BY RANGE (id);"
        ' CREATE TABLE "Events 1" PARTITION OF events FOR VALUES FROM (1) TO (100)'
    )
    return database


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_a_detach_waits_for_a_long_transaction(
    driver: str, env: str, project: Project, events: Database, gate: CommandLine
) -> None:
    """It waits beyond lock_timeout while nobody waits for it."""
    project.write("migrations/env.py", env)
    project.add("a1", apart(DETACH))
    reader = events.connect("reader", autocommit=False)
    reader.execute(b"SELECT * FROM events")
    run = gate.start(project, *QUICK, url=events.url(driver))
    events.until_waiting(seconds=0.5)
    events.connect("webapp", lock_timeout="1ms").execute(b"SELECT * FROM events")
    reader.rollback()
    run.wait().expect(0)
    assert events.value("SELECT count(*) FROM pg_inherits") == 0


def test_a_detach_that_was_left_pending(project: Project, events: Database, gate: CommandLine) -> None:
    """It is finalized, since PostgreSQL refuses to begin it again."""
    reader = events.connect("reader", autocommit=False)
    reader.execute(b"SELECT * FROM events")
    operator = events.connect("operator")
    detaching = Competitor(operator, DETACH)
    events.until_waiting()
    operator.cancel_safe()
    with pytest.raises(Exception, match="canceling statement"):
        detaching.seconds()
    reader.rollback()
    assert events.value(PENDING) == 1
    project.add("a1", apart(DETACH))
    outcome = gate.run(project, *QUICK).expect(0)
    finalized = outcome.one("detach_finalized")
    assert (finalized["table"], finalized["partition"]) == ("events", '"Events 1"')
    assert events.value("SELECT count(*) FROM pg_inherits") == 0


def test_a_detach_whose_end_stalls_a_reader(
    project: Project, events: Database, gate: CommandLine, machine: Machine
) -> None:
    """Its last lock is ACCESS EXCLUSIVE on the partition: who queues behind it is a victim, and it is finalized later."""
    project.add("a1", apart(DETACH))
    reader = events.connect("reader", autocommit=False)
    reader.execute(b'SELECT * FROM ONLY "Events 1"')
    run = gate.start(project, *QUICK)
    events.until("EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock')")
    app = Competitor(events.connect("webapp"), 'SELECT * FROM "Events 1"')
    assert app.seconds() < machine.allow(0.4 + 1.5)
    reader.rollback()
    outcome = run.wait().expect(0)
    assert outcome.one("revision_applied")["tries"] >= 2
    assert len(outcome.named("detach_finalized")) >= 1
    assert events.value("SELECT count(*) FROM pg_inherits") == 0


def test_validate_alone_is_patient(project: Project, database: Database, gate: CommandLine) -> None:
    """VALIDATE CONSTRAINT that begins its transaction waits for the lock beyond lock_timeout."""
    database.execute("ALTER TABLE accounts ADD CONSTRAINT short CHECK (length(name) < 100) NOT VALID")
    project.add("a1", "ALTER TABLE accounts VALIDATE CONSTRAINT short")
    project.add("b2", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS own")
    operator = database.connect("operator", autocommit=False)
    operator.execute(b"LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE")
    run = gate.start(project, *QUICK)
    database.until_waiting(seconds=0.5)
    operator.rollback()
    outcome = run.wait().expect(0)
    assert outcome.named("revision_applied")[0]["tries"] == 1
    assert database.value("SELECT convalidated FROM pg_constraint WHERE conname = 'short'")
    assert database.value("SELECT own FROM seen") == "50ms"


def test_validate_after_other_work_is_not_patient(project: Project, database: Database, gate: CommandLine) -> None:
    """In a transaction that holds locks already it gets the short lock_timeout like everything else."""
    database.execute(
        "ALTER TABLE accounts ADD CONSTRAINT short CHECK (length(name) < 100) NOT VALID; CREATE TABLE people (id int)"
    )
    project.add(
        "a1",
        "op.execute('ALTER TABLE people ADD x int')\nop.execute('ALTER TABLE accounts VALIDATE CONSTRAINT short')",
    )
    operator = database.connect("operator", autocommit=False)
    operator.execute(b"LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE")
    run = gate.start(project, *QUICK)
    assert run.until("lock_try_failed")["statement"] == "ALTER TABLE accounts VALIDATE CONSTRAINT short"
    operator.rollback()
    run.wait().expect(0)


def test_after_a_failed_one_the_limits_are_short_again(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision that goes on after a broken build does not queue for minutes."""
    database.execute("UPDATE accounts SET name = 'twice'")
    code = """
        try:
            with op.get_context().autocommit_block():
                op.execute("CREATE UNIQUE INDEX CONCURRENTLY accounts_name ON accounts (name)")
        except sa.exc.IntegrityError:
            pass
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS own")
        """
    project.add("a1", code)
    outcome = gate.run(project, *QUICK).expect(0)
    assert database.value("SELECT own FROM seen") == "50ms"
    assert outcome.one("invalid_index_found")["index"] == "accounts_name"


@pytest.mark.parametrize(
    "statement",
    [
        "REFRESH MATERIALIZED VIEW CONCURRENTLY totals",
        "VACUUM (ANALYZE) accounts",
        "ANALYZE accounts",
        "DROP INDEX CONCURRENTLY accounts_id",
        "REINDEX TABLE CONCURRENTLY accounts",
    ],
)
def test_the_others_are_patient_too(statement: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Each waits in one try for somebody who is in its way."""
    database.execute(
        "CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM accounts; CREATE UNIQUE INDEX ON totals (count);"
        " CREATE INDEX accounts_id ON accounts (id)"
    )
    project.add("a1", apart(statement))
    operator = database.connect("operator", autocommit=False)
    operator.execute(
        b"LOCK TABLE accounts IN SHARE UPDATE EXCLUSIVE MODE; REFRESH MATERIALIZED VIEW CONCURRENTLY totals"
    )
    run = gate.start(project, *QUICK)
    database.until_waiting(seconds=0.3)
    operator.rollback()
    assert run.wait().expect(0).one("revision_applied")["tries"] == 1


def test_vacuum_full_is_not_patient(project: Project, database: Database, gate: CommandLine) -> None:
    """It takes ACCESS EXCLUSIVE, so it queues for one short try at a time."""
    project.add("a1", apart("VACUUM FULL accounts"))
    reader = database.reader("accounts")
    gate.start(project, *QUICK).wait_behind(reader).expect(0)


def test_a_build_that_does_not_fit_the_deadline(
    project: Project, database: Database, gate: CommandLine, machine: Machine
) -> None:
    """It is stopped with an estimate; the next run refuses it at once, and one with time enough builds it.

    The login role has no rights of its own: the owner's are used to note the estimate.
    """
    owner, login = f"owner_{database.name}", f"login_{database.name}"
    # One row a page, so that the progress, which counts pages, is even.
    database.execute(
        "DROP TABLE accounts; CREATE TABLE accounts (id int PRIMARY KEY, filler text) WITH (fillfactor = 10);"
        " INSERT INTO accounts SELECT n, repeat('x', 500) FROM generate_series(1, 200) AS n;"
        f" CREATE ROLE {owner}; CREATE ROLE {login} LOGIN NOINHERIT IN ROLE {owner};"
        f" GRANT CREATE ON SCHEMA public TO {owner}; ALTER TABLE accounts OWNER TO {owner}"
    )
    arguments, url = (*QUICK, "--role", owner), database.url(user=login)
    project.add("a1", apart(SLOW))
    outcome = gate.run(project, *arguments, "--deadline", "6s", url=url).expect(34)
    estimate = outcome.failed["estimated_seconds"]
    assert outcome.failed["index"] == "accounts_slow"
    assert 25 < estimate < 80  # a scan of 200 times 0.1 s, and half of the whole is not the scan
    assert outcome.message == (
        f"The build of index accounts_slow was broken off at the deadline: the whole takes about {estimate} s. "
        "Nothing was applied by this run. a1 was rolled back, save for what its last statement may have left (an INVALID index, a pending "
        "detach): the next run puts that right. Build it beside the application, without the release's deadline: sage-migrate upgrade "
        '--online (of a fleet: fleet upgrade --online). The next release finds it done; declared sage_migrate = {"online": True}, a '
        "release leaves it to such a run (docs/online.md)."
    )
    assert invalid(database) == ["accounts_slow"]

    again = gate.run(project, *arguments, "--deadline", "6s", url=url).expect(34)
    assert again.seconds < machine.allow(5)
    assert "An earlier build of index public.accounts_slow was broken off, and " in again.message
    assert invalid(database) == ["accounts_slow"]

    database.execute("CREATE OR REPLACE FUNCTION slow(id int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT id'")
    outcome = gate.run(project, *arguments, "--deadline", "600s", url=url).expect(0)
    assert outcome.one("invalid_index_dropped")["index"] == "public.accounts_slow"
    assert indexes(database) == ["accounts_pkey", "accounts_slow"]
    assert database.value("SELECT obj_description('accounts_slow'::regclass)") is None
    database.execute(f"DROP OWNED BY {owner}, {login} CASCADE; DROP ROLE {owner}, {login}")
