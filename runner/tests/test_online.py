"""Online revisions: a release leaves what does not fit its deadline, and a run without that limit goes on with it."""

import asyncio
import signal
from typing import Any

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.online import Estimate, estimate_backfill, estimate_statement
from sage_migrate.readiness import SchemaReadiness
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ONLINE = "sage_migrate = {'online': True}"
BACKFILL = (
    "sage_migrate = {'online': True, 'backfill': {'table': 'orders', 'set': \"note = 'n'\", 'where': 'note IS NULL'}}"
)
BUILD = """
with op.get_context().autocommit_block():
    op.create_index('orders_note', 'orders', ['note'], postgresql_concurrently=True, if_not_exists=True)
"""
IS_VALID = "coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('orders_note')), false)"


def make_orders(database: Database) -> None:
    """Make a table that is small, whatever the catalog says."""
    database.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    database.execute("INSERT INTO orders SELECT n, NULL FROM generate_series(1, 2000) AS n")


def pretend_many_rows(database: Database) -> None:
    """Let the server estimate a thousand million rows."""
    database.execute(
        "UPDATE pg_class SET reltuples = 1e9, relpages = pg_relation_size(oid) / 8192 WHERE oid = 'orders'::regclass"
    )


def break_off_build(database: Database, seconds: int) -> None:
    """Leave the INVALID index of a build that the gate broke off, which would have taken so long."""
    with pytest.raises(Exception, match="unique"):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (coalesce(note, ''))")
    database.execute(f"COMMENT ON INDEX orders_note IS 'sage-migrate: build broken off, estimated seconds {seconds}'")


def is_ready(project: Project, database: Database) -> bool:
    """Ask as a pod of the project's release does."""

    async def ask() -> bool:
        engine = create_async_engine(database.url("asyncpg"), poolclass=NullPool)
        async with engine.connect() as connection:
            state = await SchemaReadiness.from_script_location(project.migrations).check(connection)
        await engine.dispose()
        return state.ready

    return asyncio.run(ask())


def test_what_fits_is_done_by_the_release(project: Project, database: Database, gate: CommandLine) -> None:
    """An online revision of a small table is like any other."""
    make_orders(database)
    project.add("a1", head=BACKFILL)
    project.add("b2", BUILD, head=ONLINE)
    outcome = gate.run(project, "upgrade").expect(0)
    assert outcome.applied == ["a1", "b2"]
    assert outcome.one("finished")["left"] == []
    assert database.value(f"SELECT {IS_VALID}")


def test_a_tail_that_does_not_fit_is_left_and_done_by_an_online_run(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """The release succeeds and its pods are ready; the online run ends what is left, also after it was killed."""
    make_orders(database)
    project.add("a1", "CREATE TABLE a (id int)")
    project.add("b2", BUILD, head=ONLINE)
    project.add("c3", head=BACKFILL)
    break_off_build(database, 4000)
    released = gate.run(project, "upgrade").expect(0)
    assert released.applied == ["a1"]
    assert [(event["revision"], event["reason"]) for event in released.named("online_left")] == [
        (
            "b2",
            (
                "b2 takes about 67 min (estimated from an earlier build of the index, which was broken off), which does "
                "not fit this run's deadline"
            ),
        ),
        ("c3", "c3 follows b2"),
    ]
    assert released.one("finished")["left"] == ["b2", "c3"]
    assert database.version() == ["a1"]
    assert is_ready(project, database)
    assert "pending  b2  (online)\npending  c3  (online)" in gate.run(project, "status").expect(3).stdout
    busy = database.connect("busy", autocommit=False)
    busy.execute("UPDATE orders SET note = note WHERE id = 1")
    run = gate.start(project, "upgrade", "--online")
    database.until_running("%INDEX CONCURRENTLY%")
    run.kill()
    run.process.wait()
    database.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'sage-migrate%')")
    busy.rollback()
    done = gate.run(project, "upgrade", "--online").expect(0)
    assert done.applied == ["b2", "c3"]
    assert database.value(f"SELECT {IS_VALID}")
    assert database.value("SELECT count(*) FROM orders WHERE note IS NULL") == 0
    assert is_ready(project, database)


def test_a_build_that_is_killed_in_each_of_its_phases(project: Project, database: Database, gate: CommandLine) -> None:
    """In its first wait, in its scan, in its last wait: the next run builds the index anew, and the last leaves no other one."""
    make_orders(database)
    slow = "CREATE OR REPLACE FUNCTION slow(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN {} RETURN t; END'"
    database.execute(slow.format(""))
    build = "CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_note ON orders (slow(note))"
    project.add("a1", f"with op.get_context().autocommit_block():\n    op.execute({build!r})", head=ONLINE)

    def kill_in(phase: str) -> None:
        building = "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()"
        run = gate.start(project, "upgrade", "--online")
        database.until(f"EXISTS ({building} AND phase = '{phase}')")
        run.kill()
        run.process.wait()
        database.until(f"NOT EXISTS ({building})")

    writer = database.connect("writer", autocommit=False)
    writer.execute("UPDATE orders SET note = note WHERE id = 1")
    kill_in("waiting for writers before build")
    writer.rollback()
    database.execute(slow.format("PERFORM pg_sleep(0.1);"))
    kill_in("building index: scanning table")
    database.execute(slow.format(""))
    report = database.connect("report", autocommit=False)
    report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class")
    kill_in("waiting for old snapshots")
    report.rollback()
    done = gate.run(project, "upgrade", "--online").expect(0)
    assert done.one("invalid_index_dropped")["index"] == "public.orders_note"
    assert database.rows(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 'orders'::regclass ORDER BY 1"
    ) == [
        ("orders_note", True),
        ("orders_pkey", True),
    ]


def test_a_release_waits_for_no_online_run(project: Project, database: Database, gate: CommandLine) -> None:
    """While one is at work, a release with nothing else to apply ends at once; one with more waits for the lock."""
    make_orders(database)
    project.add("a1")
    gate.run(project, "upgrade").expect(0)
    project.add("b2", BUILD, head=ONLINE)
    busy = database.connect("busy", autocommit=False)
    busy.execute("UPDATE orders SET note = note WHERE id = 1")
    run = gate.start(project, "upgrade", "--online")
    database.until_running("CREATE INDEX CONCURRENTLY%")
    outcome = gate.run(project, "upgrade").expect(0)
    assert outcome.one("online_run_at_work")["pending"] == ["b2"]
    assert outcome.one("finished")["outcome"] == "left to the online run that is at work"
    project.add("c3")
    waiting = gate.run(project, "upgrade", "--if-locked", "fail").expect(30)
    assert waiting.named("online_run_at_work") == []
    busy.rollback()
    run.wait().expect(0)
    assert gate.run(project, "upgrade").expect(0).applied == ["c3"]


@pytest.mark.parametrize("may_compress", [False, True])
def test_what_spares_the_application(
    *, may_compress: bool, project: Project, database: Database, gate: CommandLine
) -> None:
    """An online run keeps the server's other cores free, and its log short where its role may; what revisions set is theirs."""
    owner, compression = f"owner_{database.name}", "off"
    database.execute(f"CREATE ROLE {owner} LOGIN; GRANT CREATE ON SCHEMA public TO {owner}")
    if may_compress and database.session.info.server_version >= 150000:
        database.execute(f"GRANT SET ON PARAMETER wal_compression TO {owner}")
        compression = "pglz"
    elif may_compress:
        database.execute(f"ALTER ROLE {owner} SUPERUSER")
        compression = "on"
    settings = (
        "max_parallel_maintenance_workers",
        "effective_io_concurrency",
        "maintenance_io_concurrency",
        "wal_compression",
    )
    read = ", ".join(f"current_setting('{name}') AS {name}" for name in settings)
    project.add("a1", f'op.execute("CREATE TABLE seen AS SELECT {read}")')
    gate.run(project, "upgrade", "--online", url=database.url(user=owner)).expect(0)
    assert database.rows("SELECT * FROM seen") == [("0", "0", "0", compression)]
    database.execute(f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")


CONTRACT = "sage_migrate = {'phase': 'contract'}"


@pytest.mark.parametrize(
    ("heads", "status", "what"),
    [
        ({"c3": CONTRACT}, 23, "The `contract` revision c3 may only follow when the online revision b2 is done."),
        ({"c3": ""}, 34, "Revision c3 needs the online revision b2."),
        (
            {"c3": "", "d4": CONTRACT},
            23,
            "The `contract` revision d4 may only follow when the online revision b2 is done.",
        ),
    ],
    ids=["contract", "expand", "both"],
)
def test_what_needs_it_is_refused(  # noqa: PLR0913, PLR0917  fixtures
    heads: dict[str, str], status: int, what: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """Nothing is left that a later revision of the same release follows."""
    make_orders(database)
    pretend_many_rows(database)
    project.add("a1")
    project.add("b2", head=BACKFILL)
    for name, head in heads.items():
        project.add(name, head=head)
    assert gate.run(project, "upgrade").expect(status).message == (
        f"{what} b2 takes about 1667 min (estimated from 1000000000 rows of orders at 10000 rows/s, which is assumed), which does not fit "
        f"this run's deadline. Applied by this run, and staying so: a1. b2 was rolled back whole. Release without {', '.join(heads)} first "
        "and let its online run (Helm: migration.online.enabled) do b2, or do it now, beside the application: sage-migrate upgrade b2 "
        "--online. Then release this again."
    )
    assert database.version() == ["a1"]
    gate.run(project, "upgrade", "b2", "--online").expect(0)
    assert gate.run(project, "upgrade").expect(0).applied == [*heads]


def test_another_branch_finds_the_schema_that_env_py_sets(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """What is left takes env.py's SET search_path back with it: env.py is run again, for what comes beside."""
    database.execute("CREATE SCHEMA own; CREATE TABLE own.orders (id int)")
    database.execute("ALTER TABLE own.orders ADD CONSTRAINT positive CHECK (id > 0) NOT VALID")
    setting = "context.execute('SET search_path = own'); context.run_migrations()"
    project.write("migrations/env.py", project.env.replace("context.run_migrations()", setting))
    project.add("a1", "CREATE TABLE notes (id int)")
    project.add("b2", "ALTER TABLE orders VALIDATE CONSTRAINT positive", down=None, head=ONLINE)
    operator = database.connect("operator", autocommit=False)
    operator.execute("LOCK TABLE own.orders IN SHARE UPDATE EXCLUSIVE MODE")
    outcome = gate.run(project, "upgrade", "heads", "--deadline", "10s").expect(0)
    assert (outcome.applied, outcome.one("finished")["left"]) == (["a1"], ["b2"])
    assert database.version("own.alembic_version") == ["a1"]
    assert database.has("own.notes")
    assert not database.has("public.notes")


def test_a_revision_of_another_branch_is_applied(project: Project, database: Database, gate: CommandLine) -> None:
    """Only what follows the one that is left is left too."""
    make_orders(database)
    pretend_many_rows(database)
    project.add("a1")
    project.add("b2", head=BACKFILL)
    project.add("c3", head=ONLINE)
    project.add("d4", "CREATE TABLE d (id int)", down="a1")
    outcome = gate.run(project, "upgrade", "heads").expect(0)
    assert sorted(outcome.applied) == ["a1", "d4"]
    assert sorted(outcome.one("finished")["left"]) == ["b2", "c3"]
    assert is_ready(project, database)


def test_a_statement_that_is_not_done_in_time_is_left(project: Project, database: Database, gate: CommandLine) -> None:
    """What was estimated to be short, and waits for somebody's transaction, does not abort the release."""
    make_orders(database)
    project.add("a1")
    project.add("b2", BUILD, head=ONLINE)
    busy = database.connect("busy", autocommit=False)
    busy.execute("UPDATE orders SET note = note WHERE id = 1")
    outcome = gate.run(project, "upgrade", "--deadline", "10s").expect(0)
    assert outcome.applied == ["a1"]
    assert outcome.one("online_left")["reason"] == "b2 is not done, and the deadline is near"
    busy.rollback()
    assert gate.run(project, "upgrade").expect(0).applied == ["b2"]


def test_a_backfill_that_is_not_done_in_time_is_left(project: Project, database: Database, gate: CommandLine) -> None:
    """It stops between two batches, and the next release goes on there."""
    make_orders(database)
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END $$"
    )
    database.execute("CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()")
    project.add("a1")
    project.add("b2", head=BACKFILL)
    outcome = gate.run(project, "upgrade", "--deadline", "10s").expect(0)
    assert outcome.applied == ["a1"]
    assert outcome.one("online_left")["reason"] == "b2 is not done, and the deadline is near"
    done = database.value("SELECT count(*) FROM orders WHERE note IS NOT NULL")
    database.execute("DROP TRIGGER slow ON orders")
    again = gate.run(project, "upgrade").expect(0)
    assert again.one("backfill_started")["rows_done"] == done
    assert again.applied == ["b2"]


def test_a_backfill_that_waits_for_a_row_is_left(project: Project, database: Database, gate: CommandLine) -> None:
    """Somebody's open transaction keeps the backfill from its rows, and not the release; that it waits is not said at each try."""
    make_orders(database)
    project.add("a1")
    project.add("b2", head=BACKFILL)
    busy = database.connect("busy", autocommit=False)
    busy.execute("SELECT FROM orders WHERE id = 1 FOR UPDATE")
    outcome = gate.run(project, "upgrade", "--deadline", "10s").expect(0)
    assert outcome.applied == ["a1"]
    assert outcome.one("online_left")["reason"] == "b2 is not done, and the deadline is near"
    alone = [event for event in outcome.named("backfill_waits") if event["batch_rows"] == 1]
    assert 1 <= len(alone) <= 2


def test_a_loop_of_batches_that_is_not_done_in_time_is_left(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """It stops between two of them, and goes on with what is there."""
    make_orders(database)
    batch = "DELETE FROM orders WHERE id IN (SELECT id FROM orders LIMIT 10)"
    project.add(
        "a1",
        "import time\n"
        f"with op.get_context().autocommit_block():\n    while op.get_bind().execute(sa.text({batch!r})).rowcount: time.sleep(0.1)",
        head=ONLINE,
    )
    outcome = gate.run(project, "upgrade", "--deadline", "10s").expect(0)
    assert outcome.one("online_left")["reason"] == "a1 is not done, and the deadline is near"
    assert 0 < database.value("SELECT count(*) FROM orders") < 2000
    database.execute("DELETE FROM orders WHERE id IN (SELECT id FROM orders OFFSET 20)")
    assert gate.run(project, "upgrade", "--online").expect(0).applied == ["a1"]
    assert database.value("SELECT count(*) FROM orders") == 0


def test_an_error_that_the_revision_swallows(project: Project, database: Database, gate: CommandLine) -> None:
    """What is left is not stamped, whatever the revision does with the exception."""
    make_orders(database)
    break_off_build(database, 4000)
    swallowing = f"try:\n    {BUILD.strip().replace(chr(10), chr(10) + '    ')}\nexcept BaseException:\n    pass"
    project.add("a1", swallowing, head=ONLINE)
    assert gate.run(project, "upgrade").expect(0).one("finished")["left"] == ["a1"]
    assert database.version() == []


def test_an_online_run_ends_by_a_signal_and_goes_on(project: Project, database: Database, gate: CommandLine) -> None:
    """A Job that is evicted loses nothing of a backfill but a batch."""
    make_orders(database)
    project.add("a0")
    gate.run(project, "upgrade").expect(0)
    project.add("a1", head=BACKFILL)
    busy = database.connect("busy", autocommit=False)
    busy.execute("SELECT FROM orders WHERE id = 1500 FOR UPDATE")
    run = gate.start(project, "upgrade", "--online")
    run.until("backfill_waits", batch_rows=1)
    run.send(signal.SIGTERM)
    run.wait().expect(143)
    busy.rollback()
    again = gate.run(project, "upgrade", "--online").expect(0)
    assert again.one("backfill_started")["rows_done"] > 0


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON big (id)", (4.096, "82 MB of big at 20 MB/s, which is assumed")),
        ("REINDEX TABLE CONCURRENTLY big", (4.096, "82 MB of big at 20 MB/s, which is assumed")),
        ("ALTER TABLE big VALIDATE CONSTRAINT c", (0.8192, "82 MB of big at 100 MB/s, which is assumed")),
        ("CREATE INDEX CONCURRENTLY i ON absent (id)", (0.0, "0 MB of absent at 20 MB/s, which is assumed")),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY big", None),
    ],
)
def test_a_statement_is_estimated_by_its_tables_size(
    statement: str, expected: tuple[float, str] | None, database: Database
) -> None:
    """Partitions are parts of the table."""
    database.execute("CREATE TABLE big (id int, filler text) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE big_1 PARTITION OF big FOR VALUES FROM (MINVALUE) TO (MAXVALUE)")

    def fetch(sql: str) -> list[tuple[Any, ...]]:
        # The sizes of real tables decide; ten thousand pages would take a test's time to write.
        return database.rows(
            sql.replace("pg_relation_size(relid)", "CASE WHEN relid = 'big_1'::regclass THEN 81920000 END")
        )

    found = estimate_statement(statement, fetch)
    assert (found and (found.seconds, found.source)) == expected


def test_a_backfill_is_estimated_by_its_rate_so_far() -> None:
    """Where it has gone on for long enough to tell."""
    assert estimate_backfill("orders", left=8000, scanned=2000, seconds=4) == Estimate(
        seconds=16, source="8000 rows of orders at 500 rows/s, its rate so far"
    )
    assert estimate_backfill("orders", left=9990, scanned=10, seconds=0.1).source.endswith("which is assumed")


def test_a_declaration_that_is_no_answer(project: Project, database: Database, gate: CommandLine) -> None:
    """Better refused than taken for True."""
    project.add("a1", head="sage_migrate = {'online': 'orders'}")
    assert "online 'orders' is neither True nor False" in gate.run(project, "upgrade").expect(20).message
