"""A backfill that a revision declares: in batches, resumable, right in the end, and clear where it cannot be."""

import random
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import env_files
from harness.command import CommandLine, Launcher, Run
from harness.env_files import Style
from harness.postgres import Database
from harness.project import Project
from harness.terminal import screen_of
from psycopg import Connection

ROWS = 3000
FIRST_BATCH = 500
# Counts how often each row was written: a batch that is repeated must not set a row again.
AUDIT = """
CREATE TABLE writes (id text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO writes VALUES (coalesce(to_jsonb(NEW) ->> 'id', to_jsonb(NEW)::text)); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note()
"""
PLAIN = "CREATE TABLE orders (id int PRIMARY KEY, currency text)"
TABLES = {
    "int": (PLAIN, "SELECT n, NULL"),
    "uuid": ("CREATE TABLE orders (id uuid PRIMARY KEY, currency text)", "SELECT gen_random_uuid(), NULL"),
    "composite": (
        'CREATE TABLE orders ("Shop" text, id int, currency text, PRIMARY KEY ("Shop", id))',
        "SELECT 'it''s ' || n % 7, n, NULL",
    ),
    "included": (
        "CREATE TABLE orders (id int, currency text, PRIMARY KEY (id) INCLUDE (currency))",
        "SELECT n, NULL",
    ),
    "named key0": ("CREATE TABLE orders (key0 int PRIMARY KEY, id int, currency text)", "SELECT n, n, NULL"),
    "padded": ("CREATE TABLE orders (id char(8) PRIMARY KEY, currency text)", "SELECT 'no ' || n, NULL"),
    "partitioned": (
        (
            "CREATE TABLE orders (id int PRIMARY KEY, currency text) PARTITION BY RANGE (id);"
            "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (MINVALUE) TO (1000);"
            "CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (1000) TO (MAXVALUE)"
        ),
        "SELECT n, NULL",
    ),
}
BACKFILL = {"table": "orders", "set": "currency = 'EUR'", "where": "currency IS NULL"}
LEFT = "SELECT count(*) FROM orders WHERE currency IS DISTINCT FROM 'EUR'"

IDLES = "datname = current_database() AND state = 'idle in transaction' AND application_name = ''"


def declare(**more: object) -> str:
    """Return the declaration of a revision that sets every order's currency."""
    return f"sage_migrate = {{'backfill': { {**BACKFILL, **more}!r}}}"


def make_orders(database: Database, kind: str = "int") -> None:
    """Make the table, with rows that are left to set."""
    table, rows = TABLES[kind]
    for statement in (table, f"INSERT INTO orders {rows} FROM generate_series(1, {ROWS}) AS n", AUDIT):
        database.execute(statement)


def slow_down(database: Database, *, seconds: float) -> None:
    """Let each row that is set take so long."""
    body = f"BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END"
    database.execute(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
    database.execute("CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()")


def start_and_rest(project: Project, database: Database, gate: CommandLine) -> Run:
    """Start a run of a1, and return it in the rest after its first batch, which is noted."""
    make_orders(database)
    project.add("a0")
    gate.run(project, "upgrade").expect(0)
    project.add("a1", head=declare())
    run = gate.start(project, "upgrade", "--backfill-rest", "300")
    database.until(f"(SELECT count(*) FROM writes) = {FIRST_BATCH}")
    return run


def start_and_meet(row: int, project: Project, database: Database, gate: CommandLine) -> tuple[Run, Connection]:
    """Start a run; return it when its backfill waits for a row alone, and the session that keeps that row."""
    busy = database.connect("busy", autocommit=False)
    busy.execute(f"SELECT FROM orders WHERE id = {row} FOR UPDATE".encode())
    run = gate.start(project, "upgrade")
    run.until("backfill_waits", batch_rows=1)
    return run, busy


def end_session(database: Database, application_name: str) -> None:
    """End a session of the runner's, as an administrator does."""
    ours = f"datname = current_database() AND application_name = '{application_name}'"
    database.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_is_set_once_in_several_transactions(
    kind: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """Whatever orders the table; the revision's own upgrade() comes after, and nothing is left to note."""
    make_orders(database, kind)
    project.add("a1", "ALTER TABLE orders ALTER currency SET NOT NULL", head=declare())
    outcome = gate.run(project, "upgrade").expect(0)
    assert outcome.applied == ["a1"]
    assert outcome.one("backfill_finished")["rows_done"] == ROWS
    assert database.value(LEFT) == 0
    assert database.value("SELECT count(*) FROM writes") == ROWS
    assert database.value("SELECT count(DISTINCT xmin::text) FROM orders") > 1
    assert '"backfills"' not in str(database.lineage())


@pytest.mark.parametrize(
    "style", [Style("asyncpg", env_files.ASYNC), Style("psycopg2", env_files.SYNC)], ids=lambda s: s.name
)
def test_an_env_py_that_alone_knows_the_database(
    style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """Without a URL the batches too are sent as env.py's own engine connects."""
    make_orders(database)
    project = Project(tmp_path / "other", style.env, database.url(style.driver).replace("%", "%%"))
    project.add("a1", head=declare())
    gate.run(project, "upgrade", url=None).expect(0)
    assert database.value(LEFT) == 0


def test_a_batch_is_not_compiled(project: Project, database: Database, gate: CommandLine) -> None:
    """On a huge table PostgreSQL would compile each one, for longer than the batch takes."""
    make_orders(database)
    project.add("a1", head=declare(set="currency = current_setting('jit')"))
    gate.run(project, "upgrade").expect(0)
    assert database.rows("SELECT DISTINCT currency FROM orders") == [("off",)]


def test_a_batch_reads_what_is_committed(project: Project, database: Database, gate: CommandLine) -> None:
    """Whatever the database's default is: with SERIALIZABLE a batch could make the application's transactions fail."""
    make_orders(database)
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'serializable'")
    project.add("a1", head=declare(set="currency = current_setting('transaction_isolation')"))
    gate.run(project, "upgrade").expect(0)
    assert database.rows("SELECT DISTINCT currency FROM orders") == [("read committed",)]


def test_env_py_says_where_the_table_is(project: Project, database: Database, gate: CommandLine) -> None:
    """The batches find by its search_path what the revision finds."""
    make_orders(database)
    database.execute(
        "CREATE SCHEMA own; CREATE TABLE own.orders AS TABLE orders; ALTER TABLE own.orders ADD PRIMARY KEY (id)"
    )
    project.write(
        "migrations/env.py",
        project.env.replace(
            "context.run_migrations()", "context.execute('SET search_path = own'); context.run_migrations()"
        ),
    )
    project.add("a1", "ALTER TABLE orders ALTER currency SET NOT NULL", head=declare())
    gate.run(project, "upgrade").expect(0)
    assert database.value("SELECT count(*) FROM own.orders WHERE currency IS NULL") == 0
    assert database.value("SELECT count(*) FROM public.orders WHERE currency IS NULL") == ROWS


def test_a_declaration_may_end_in_a_comment(project: Project, database: Database, gate: CommandLine) -> None:
    """What follows it in the batch's statement is no part of that."""
    make_orders(database)
    project.add("a1", head=declare(set="currency = 'EUR' -- the old default", where="currency IS NULL -- not set yet"))
    gate.run(project, "upgrade").expect(0)
    assert database.value(LEFT) == 0


def test_a_session_that_is_ended(project: Project, database: Database, gate: CommandLine) -> None:
    """As by a restart of the server: it is not the revision's fault, and the next run goes on."""
    run = start_and_rest(project, database, gate)
    database.until(
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'sage-migrate backfill' AND state = 'idle')"
    )
    end_session(database, "sage-migrate backfill")
    assert run.wait().expect(41).message == (
        "A session of the runner's own broke. Nothing was applied by this run. a1 was not applied; 500 rows that its backfill has set "
        "stay. See whether the server restarted or ended the session; then run it again: it goes on where the version table stands."
    )
    assert gate.run(project, "upgrade").expect(0).one("backfill_started")["rows_done"] == FIRST_BATCH


def test_the_locks_session_is_ended(project: Project, database: Database, gate: CommandLine) -> None:
    """Another runner may be at work then: no batch more, and not the revision."""
    run = start_and_rest(project, database, gate)
    end_session(database, "sage-migrate lock")
    assert run.wait().expect(41).message == (
        "The session that holds the runner's lock broke, so another runner may be at work. Nothing was applied by this run. a1 was not "
        "applied; 500 rows that its backfill has set stay. Run it again: it goes on where the version table stands."
    )
    assert database.value("SELECT count(*) FROM writes") == FIRST_BATCH


@pytest.mark.parametrize("window", ["", ", 'maintenance_window': '{0:%H:%M}-{1:%H:%M}', 'reason': 'nobody works then'"])
def test_the_guards_session_hardly_looks_and_is_missed_when_it_is_ended(
    window: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """Its looks would be felt as much as the batches, which are over before anybody waits for long; without it nothing goes on."""
    make_orders(database)
    slow_down(database, seconds=0.004)
    now, hour = datetime.now(UTC), timedelta(hours=1)
    project.add("a1", head=f"{declare()[:-1]}{window.format(now - hour, now + hour)}}}")
    run = gate.start(project, "upgrade")
    database.until("EXISTS (SELECT FROM orders WHERE currency = 'EUR')")
    watching = "datname = current_database() AND application_name = 'sage-migrate watch'"
    began, looks = time.monotonic(), set()
    while time.monotonic() < began + 4:
        time.sleep(0.02)
        looks.add(database.value(f"SELECT query_start::text FROM pg_stat_activity WHERE {watching}"))
    assert len(looks) <= 3  # twice a second it would be with one long statement
    end_session(database, "sage-migrate watch")
    outcome = run.wait().expect(41)
    assert outcome.message.startswith(
        "The session that watches for stalls broke, and the migration does not go on unwatched. "
    )
    assert 0 < database.value("SELECT count(*) FROM orders WHERE currency = 'EUR'") < ROWS


def test_a_killed_run_goes_on_where_it_stopped(project: Project, database: Database, gate: CommandLine) -> None:
    """What it set stays, is shown by status, and is not set again."""
    make_orders(database)
    project.add("a0")
    gate.run(project, "upgrade").expect(0)
    project.add("a1", head=declare())
    run, busy = start_and_meet(2500, project, database, gate)
    # What Alembic read before must not idle in its transaction for as long as the backfill takes: the server would end it.
    assert database.value(f"SELECT count(*) FROM pg_stat_activity WHERE {IDLES}") == 0
    run.kill()
    run.process.wait()
    database.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'sage-migrate%')")
    done = database.value("SELECT count(*) FROM writes")
    assert 0 < done < 2500
    status = gate.run(project, "status").expect(3)
    assert f"pending  a1  (its backfill has set {done} rows)" in status.stdout
    busy.rollback()
    outcome = gate.run(project, "upgrade").expect(0)
    assert outcome.one("backfill_started")["rows_done"] == done
    assert database.value(LEFT) == 0
    assert database.value("SELECT count(*) FROM writes") == ROWS


@pytest.mark.parametrize(
    "before", [{"where": "currency IS NULL AND id > 2490"}, {"key": ["number"]}], ids=["where", "key"]
)
def test_a_declaration_that_has_changed(
    before: dict[str, Any], project: Project, database: Database, gate: CommandLine
) -> None:
    """What an earlier run looked at, it looked at for something else: no row behind it is left."""
    make_orders(database)
    database.execute(
        "ALTER TABLE orders ADD number text UNIQUE; UPDATE orders SET number = 'no ' || id; ALTER TABLE orders ALTER number SET NOT NULL"
    )
    project.add("a1", head=declare(**before))
    run, busy = start_and_meet(2491, project, database, gate)
    run.kill()
    run.process.wait()
    busy.rollback()
    database.execute("UPDATE orders SET currency = 'EUR' WHERE id > 1000")
    project.add("a1", down=None, head=declare())
    gate.run(project, "upgrade").expect(0)
    assert database.value(LEFT) == 0


def test_a_declaration_of_another_table(project: Project, database: Database, gate: CommandLine) -> None:
    """Its key may have the same name, and values that the mark of before is none of."""
    make_orders(database)
    database.execute("CREATE TABLE lines (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), currency text)")
    database.execute(f"INSERT INTO lines (currency) SELECT NULL FROM generate_series(1, {ROWS})")
    project.add("a1", head=declare())
    run, busy = start_and_meet(2491, project, database, gate)
    run.kill()
    run.process.wait()
    busy.rollback()
    project.add("a1", down=None, head=declare(table="lines"))
    gate.run(project, "upgrade").expect(0)
    assert database.value("SELECT count(*) FROM lines WHERE currency IS NULL") == 0


def test_a_row_that_moves_to_another_partition(project: Project, database: Database, gate: CommandLine) -> None:
    """While a batch waits for it: what PostgreSQL calls a serialization failure is gone when it is tried again."""
    make_orders(database, "partitioned")
    project.add("a1", head=declare())
    moving = database.connect("moving", autocommit=False)
    moving.execute("UPDATE orders SET id = 5000 WHERE id = 700")
    run = gate.start(project, "upgrade", "--lock-timeout", "5s", "--stall-budget", "40s")
    database.until_waiting()
    moving.commit()
    outcome = run.wait().expect(0)
    assert [each["reason"] for each in outcome.named("backfill_waits")] == ["40001"]
    assert database.value(LEFT) == 0


def test_kills_at_random_points(project: Project, database: Database, gate: CommandLine) -> None:
    """Whatever was under way: each row is set, and none is set again."""
    make_orders(database)
    slow_down(database, seconds=0.0005)
    project.add("a1", head=declare())
    for done in sorted(random.sample(range(1, ROWS), 3)):
        run = gate.start(project, "upgrade")
        database.until(f"(SELECT count(*) FROM writes) >= {done}")
        run.kill()
        run.process.wait()
        database.until("NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'sage-migrate%')")
    gate.run(project, "upgrade").expect(0)
    assert database.value(LEFT) == 0
    assert database.rows("SELECT count(*), count(DISTINCT id) FROM writes") == [(ROWS, ROWS)]


def test_rows_written_meanwhile_are_set_too(project: Project, database: Database, gate: CommandLine) -> None:
    """Also those whose key was passed already: the table is gone through until nothing is left."""
    make_orders(database)
    project.add("a1", "ALTER TABLE orders ALTER currency SET NOT NULL", head=declare())
    run, busy = start_and_meet(2500, project, database, gate)
    database.execute("INSERT INTO orders VALUES (-1, NULL)")
    busy.rollback()
    run.wait().expect(0)
    assert database.value(LEFT) == 0
    assert database.value("SELECT count(*) FROM orders") == ROWS + 1


def test_nobody_waits_for_more_than_a_batch(project: Project, database: Database, gate: CommandLine) -> None:
    """A slow trigger makes the batches smaller, and the guard has nothing to stop; the rate is told."""
    make_orders(database)
    database.execute("DELETE FROM orders WHERE id > 1800")
    database.execute("ANALYZE orders")
    slow_down(database, seconds=0.003)
    project.add("a1", head=declare())
    outcome = gate.run(project, "upgrade").expect(0)
    assert database.value(LEFT) == 0
    assert database.value("SELECT count(DISTINCT xmin::text) FROM orders") > 4
    assert outcome.named("stall_budget_exceeded") == []
    progress = outcome.named("backfill_progress")[0]
    assert 0 < progress["rows_done"] < 1800
    assert 0 < progress["rows_per_second"] <= 1 / 0.003
    assert progress["seconds_left"] > 0
    assert 0 < progress["longest_batch_seconds"] < 1
    # The first batch took too long and was tried again: its rows were kept as well.
    assert progress["longest_batch_seconds"] > 0.5


def test_a_bar_on_a_terminal(
    project: Project, database: Database, gate: CommandLine, launcher: Launcher, tmp_path: Path
) -> None:
    """A person sees how much of the table is gone through, also where few of its rows are left to set, and no events of it."""
    del gate  # which ends what a failed test left: here nothing is started by it
    make_orders(database)
    database.execute("UPDATE orders SET currency = 'EUR' WHERE id <= 2000")
    database.execute("ANALYZE orders")
    slow_down(database, seconds=0.003)
    project.add("a1", head=declare())
    screen = screen_of(launcher, project, "upgrade", url=database.url(), err=tmp_path / "err")
    drawn = re.findall(
        r"\[#+-+\] +(\d+)%  backfill, (\d+) rows set, \d+ rows/s, about \d+ s left, no wait for it over 0\.\d s: orders\r\r\x1b\[K",
        screen,
    )
    first_pass = [(int(share), int(rows)) for share, rows in drawn if int(rows) < 1000]
    assert len(first_pass) > 1
    assert sorted(first_pass) == first_pass
    assert all(share >= 100 * (2000 + rows) // ROWS for share, rows in first_pass)
    assert "backfill_finished" in screen
    assert "backfill_progress" not in screen


def test_a_lock_that_is_not_to_be_had(project: Project, database: Database, gate: CommandLine) -> None:
    """The revision is tried again, and not the whole of its backfill before each try; no note of that stays."""
    make_orders(database)
    project.add("a1", "ALTER TABLE orders ALTER currency SET NOT NULL", head=declare())
    reader = database.reader("orders")
    outcome = gate.start(project).wait_behind(reader, revision="a1").expect(0)
    assert outcome.one("backfill_finished")["rows_done"] == ROWS
    assert outcome.one("backfill_started")
    assert '"backfills"' not in str(database.lineage())


def test_an_operator_may_make_it_gentler(project: Project, database: Database, gate: CommandLine) -> None:
    """Without a new image: here what the first batch owes is longer than the run may take."""
    make_orders(database)
    project.add("a1", head=declare())
    outcome = gate.run(project, "upgrade", "--deadline", "5s", "--backfill-rest", "1000000").expect(34)
    assert outcome.one("failed")["rows_done"] == database.value("SELECT count(*) FROM writes") == FIRST_BATCH


def test_a_deadline_loses_nothing(project: Project, database: Database, gate: CommandLine) -> None:
    """The message tells how far it came and how to give it more time."""
    make_orders(database)
    project.add("a1", head=declare())
    busy = database.connect("busy", autocommit=False)
    busy.execute("SELECT FROM orders WHERE id = 1 FOR UPDATE")
    outcome = gate.run(project, "upgrade", "--deadline", "4s").expect(34)
    assert outcome.message == (
        "The backfill of revision a1 was not done by the deadline: 0 rows of orders are set. Nothing was applied by this run. "
        "a1 was rolled back whole. Run it again: it goes on there. A long one is better run before the release, beside the "
        "application: sage-migrate upgrade a1 --online."
    )
    busy.rollback()
    gate.run(project, "upgrade").expect(0)


# Three of the rows have another one follow them each time, behind what the pass has done.
BEHIND = """
CREATE SEQUENCE behind INCREMENT -1000 START -1000;
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO orders VALUES (nextval('behind'), NULL); RETURN NULL; END $$;
CREATE TRIGGER follow AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.id % 1000 = 0) EXECUTE FUNCTION follow()
"""

REFUSALS: dict[str, tuple[str | None, dict[str, Any], str]] = {
    "no key": (
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        {},
        (
            "The backfill of revision a1 cannot be run: orders has no primary key. Nothing was applied by this run. a1 was rolled "
            "back whole. Name the NOT NULL columns of an index in `key`."
        ),
    ),
    "a key without an index": (
        None,
        {"key": ["currency"]},
        (
            "The backfill of revision a1 cannot be run: no index of orders begins with the NOT NULL columns currency. Nothing was "
            "applied by this run. a1 was rolled back whole. Name the columns of one in `key`, in its order."
        ),
    ),
    "a key that may have been NULL before": (
        (
            "ALTER TABLE orders ADD number int; CREATE INDEX ON orders (number);"
            # Before PostgreSQL 18 there was no such constraint, and the column is as nullable without.
            "DO $$BEGIN IF current_setting('server_version_num')::int >= 180000 THEN"
            " EXECUTE 'ALTER TABLE orders ADD CONSTRAINT full_some_day NOT NULL number NOT VALID'; END IF; END$$"
        ),
        {"key": ["number"]},
        (
            "The backfill of revision a1 cannot be run: no index of orders begins with the NOT NULL columns number. Nothing was "
            "applied by this run. a1 was rolled back whole. Name the columns of one in `key`, in its order."
        ),
    ),
    "a key within an expression's index": (
        (
            "ALTER TABLE orders DROP CONSTRAINT orders_pkey; CREATE INDEX ON orders (lower(currency), id);"
            "CREATE INDEX ON orders USING brin (id)"
        ),
        {"key": ["id"]},
        (
            "The backfill of revision a1 cannot be run: no index of orders begins with the NOT NULL columns id. Nothing was "
            "applied by this run. a1 was rolled back whole. Name the columns of one in `key`, in its order."
        ),
    ),
    "no table": (
        None,
        {"table": "order"},
        (
            "The backfill of revision a1 cannot be run: there is no table order. Nothing was applied by this run. a1 was rolled back "
            "whole. Make it in an earlier revision."
        ),
    ),
    "a predicate that stays true": (
        None,
        {"where": "id > 0"},
        (
            "The backfill of revision a1 set the row with id = 1 of orders, and it is still one of those that are left: id > 0. "
            "Nothing was applied by this run. a1 was rolled back whole. Let `where` name rows that `set` makes true no longer (a "
            "trigger may undo it); otherwise it never ends."
        ),
    ),
    "rows that go on being written": (
        BEHIND,
        {},
        (
            "The backfill of revision a1 went through orders 5 times, and the last time there were 3 new rows to set: something goes on "
            "writing rows where currency IS NULL. Nothing was applied by this run. a1 was not applied; 3012 rows that its backfill has "
            "set stay. Give the column a default, or a trigger that sets it, in an earlier revision; then run it again."
        ),
    ),
    "a column that is not there": (
        None,
        {"set": "curency = 'EUR'"},
        (
            'Revision a1 failed: column "curency" of relation "orders" does not exist (SQLSTATE 42703) in: UPDATE orders SET '
            "curency = ? WHERE currency IS NULL. Nothing was applied by this run. a1 was rolled back whole. Correct the revision, try "
            "it on a copy of the database, and release again."
        ),
    ),
    "a row that cannot be": (
        "ALTER TABLE orders ADD CONSTRAINT no_euro CHECK (id <> 1234 OR currency IS NULL)",
        {},
        (
            'The backfill of revision a1 cannot set the row with id = 1234 of orders: new row for relation "orders" violates check '
            'constraint "no_euro" (SQLSTATE 23514). Nothing was applied by this run. a1 was not applied; 1233 rows that its '
            "backfill has set stay. Mend that row, or the declaration, and run it again: it goes on there."
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_backfill_that_cannot_be(case: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Each says which row or which part of the declaration, and what to do; what is done stays."""
    change, declared, message = REFUSALS[case]
    make_orders(database)
    if change:
        database.execute(change)
    project.add("a1", head=declare(**declared))
    assert gate.run(project, "upgrade").expect(40).message == message
    assert database.version() == []


def test_it_goes_on_when_the_row_is_mended(project: Project, database: Database, gate: CommandLine) -> None:
    """A trigger's refusal is of a row too; those before it are not set again."""
    make_orders(database, "composite")
    for statement in (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no euro for %', NEW.id; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.id = 1234) EXECUTE FUNCTION refuse()",
    ):
        database.execute(statement)
    project.add("a1", head=declare())
    before = database.value("SELECT count(*) FROM orders WHERE (\"Shop\", id) < ('it''s 2', 1234)")
    assert gate.run(project, "upgrade").expect(40).message == (
        "The backfill of revision a1 cannot set the row with Shop = it's 2, id = 1234 of orders: no euro for 1234 (SQLSTATE P0001). "
        f"Nothing was applied by this run. a1 was not applied; {before} rows that its backfill has set stay. Mend that row, or the "
        "declaration, and run it again: it goes on there."
    )
    database.execute("DROP TRIGGER refuse ON orders")
    gate.run(project, "upgrade").expect(0)
    assert database.value(LEFT) == 0
    assert database.value("SELECT count(*) FROM writes") == ROWS


def test_a_key_that_many_rows_share(project: Project, database: Database, gate: CommandLine) -> None:
    """A batch cannot end within one key: it is broken off before anybody waits for too long."""
    make_orders(database, "composite")
    slow_down(database, seconds=0.001)
    project.add("a1", head=declare(key=["Shop"]))
    assert gate.run(project, "upgrade", "--stall-budget", "200ms").expect(33).message == (
        "The backfill of revision a1 worked for longer than 100 ms, the most that others may wait for a batch, on Shop = it's 0 of orders "
        "alone. Nothing was applied by this run. a1 was rolled back whole. Name in `key` columns whose values few rows share, and see "
        "that no trigger is slow; then run it again: it goes on there."
    )
    assert database.value("SELECT count(*) FROM writes") == 0


def test_a_role_without_rights(project: Project, database: Database, gate: CommandLine) -> None:
    """It is told apart from a mistake in the revision."""
    make_orders(database)
    database.execute("CREATE ROLE poor_backfill LOGIN")
    try:
        database.execute("GRANT CREATE, USAGE ON SCHEMA public TO poor_backfill")
        database.execute("GRANT SELECT ON orders TO poor_backfill")
        project.add("a1", head=declare())
        outcome = gate.run(project, "upgrade", url=database.url(user="poor_backfill")).expect(40)
        assert outcome.message == (
            "Revision a1 failed: permission denied for table orders (SQLSTATE 42501) in: UPDATE orders SET currency = ? WHERE currency IS "
            "NULL. Nothing was applied by this run. a1 was rolled back whole. Give the migration a role that owns the objects (--role, or "
            "a secret of its own: Helm migration.database)."
        )
    finally:
        database.execute("DROP OWNED BY poor_backfill")
        database.execute("DROP ROLE poor_backfill")


def test_a_transaction_around_everything(project: Project, database: Database, gate: CommandLine) -> None:
    """Batches beside it would not see what the revisions before did: refused, with nothing done."""
    make_orders(database)
    opened = "with connectable.begin() as connection:\n        connection.execute(sa.text('SELECT 1'))"
    project.write(
        "migrations/env.py",
        "import sqlalchemy as sa\n" + env_files.SYNC.replace("with connectable.connect() as connection:", opened),
    )
    project.add("a1", head=declare())
    outcome = gate.run(project, "upgrade").expect(40)
    assert "Revision a1 declares a backfill, and env.py began a transaction around all revisions" in outcome.message
    assert database.value("SELECT count(*) FROM writes") == 0


@pytest.mark.parametrize(
    ("declaration", "why"),
    [
        (
            "'UPDATE orders'",
            "backfill is a dict with table, set and where, and where needed with key and max_replica_lag",
        ),
        ("{'table': 'orders', 'set': 'a = 1'}", "backfill is a dict with table, set and where"),
        ("{'table': 'orders', 'set': 'a = 1', 'where': ''}", "backfill's where is no SQL"),
        ("{'table': 'o', 'set': 'a = 1', 'where': 'b', 'key': 'id'}", "backfill's key is a list of columns"),
        ("{'table': 'o', 'set': 'a = 1', 'where': 'b', 'max_replica_lag': 5}", "'5'"),
    ],
)
def test_a_declaration_that_cannot_be_used(
    declaration: str, why: str, project: Project, database: Database, gate: CommandLine
) -> None:
    """Better refused than ignored."""
    project.add("a1", head=f"sage_migrate = {{'backfill': {declaration}}}")
    assert why in gate.run(project, "upgrade").expect(20).message
    assert database.version() == []


def test_a_signal_in_the_middle(project: Project, database: Database, gate: CommandLine) -> None:
    """A pod that is evicted loses one batch."""
    make_orders(database)
    project.add("a1", head=declare())
    run, busy = start_and_meet(2500, project, database, gate)
    run.send(signal.SIGTERM)
    outcome = run.wait().expect(143)
    busy.rollback()
    assert f"{database.value('SELECT count(*) FROM writes')} rows that its backfill has set stay" in outcome.message
    gate.run(project, "upgrade").expect(0)
    assert database.value("SELECT count(*) FROM writes") == ROWS
