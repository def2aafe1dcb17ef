"""Schema per tenant: every one of them at head, and one that cannot be hides no other."""

import itertools
import signal
from pathlib import Path

import pytest
from harness.command import PATIENT, CommandLine, Outcome
from harness.env_files import ASYNC, SYNC
from harness.postgres import Database
from harness.project import Project

from fleet.schemas import add_orders, make_schemas, states, version_of

FLEET = ("fleet", "upgrade", "--schemas", "tenant%")


def test_all_are_at_head_wherever_they_were(project: Project, database: Database, gate: CommandLine) -> None:
    """Sixty tenants at different revisions, some with names that need quotes; the schema of all of them is the same."""
    hostile = ["tenant-é '\\\"; DROP SCHEMA public", "tenant %s", "Tenant_upper", "tenant.dot"]
    tenants = make_schemas(database, [*(f"tenant_{number:02}" for number in range(56)), *hostile])
    make_schemas(database, ["other"])
    add_orders(project)
    gate.run(project, "fleet", "upgrade", "a1", "--schemas", "tenant_0%").expect(0)
    gate.run(project, "fleet", "upgrade", "b2", "--schemas", "tenant_1%").expect(0)
    outcome = gate.run(
        project, "fleet", "upgrade", "--tenants-query", "SELECT nspname FROM pg_namespace WHERE nspname ILIKE 'tenant%'"
    )
    outcome.expect(0)
    assert states(outcome) == {"applied": sorted(tenants)}
    assert {tuple(version_of(database, tenant)) for tenant in tenants} == {("c3",)}
    before = {event["tenant"]: (event["before"], event["applied"]) for event in outcome.named("tenant_done")}
    assert before["tenant_03"] == (["a1"], ["b2", "c3"])
    assert before["tenant_13"] == (["b2"], ["c3"])
    assert before["tenant_23"] == ([], ["a1", "b2", "c3"])
    assert outcome.one("fleet_summary")["states"] == {"applied": 60}
    assert outcome.one("finished")["exit_status"] == 0
    relations = database.rows(
        "SELECT DISTINCT string_agg(relname || relkind::text, ' ' ORDER BY relname) FROM pg_class"
        " JOIN pg_namespace AS space ON space.oid = relnamespace WHERE nspname ILIKE 'tenant%' GROUP BY nspname"
    )
    assert len(relations) == 1
    assert not database.has("public.orders")
    assert not database.has("other.orders")
    again = gate.run(project, *FLEET).expect(0)
    assert states(again)["at-head"] == sorted(tenant for tenant in tenants if tenant.startswith("tenant"))
    assert again.one("finished")["outcome"] == "nothing to do"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_drivers_that_prepare_statements_go_from_schema_to_schema(
    driver: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """What a driver prepared for one tenant's tables does not meet the next one's, whose types have other identities."""
    project = Project(tmp_path / driver, ASYNC if driver == "asyncpg" else SYNC)
    project.add("a1", "CREATE TYPE mood AS ENUM ('sad', 'ok')", head="")
    project.add("b2", "CREATE TABLE people (mood mood)")
    project.add(
        "c3",
        """
        for _ in range(8):
            op.get_bind().execute(sa.text("INSERT INTO people (mood) VALUES ('ok')"))
            assert op.get_bind().execute(sa.text("SELECT mood FROM people")).fetchall()
        """,
    )
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(4)])
    outcome = gate.run(project, *FLEET, "--concurrency", "1", url=database.url(driver)).expect(0)
    assert states(outcome) == {"applied": tenants}
    assert {database.value(f"SELECT count(*) FROM {tenant}.people") for tenant in tenants} == {8}


def test_one_that_fails_hides_no_other(project: Project, database: Database, gate: CommandLine) -> None:
    """Broken tenants are named with their reasons, the rest is at head; the next run does what is left."""
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(12)])
    database.execute("CREATE TABLE tenant_3.orders (id int); CREATE TABLE tenant_7.items (id int)")
    add_orders(project)
    outcome = gate.run(project, *FLEET).expect(50)
    broken = ["tenant_3", "tenant_7"]
    assert states(outcome) == {"failed": broken, "applied": sorted(set(tenants) - set(broken))}
    assert outcome.message == (
        f"2 of 12 tenants failed: {', '.join(outcome.failed['tenants'])}. Of 12 tenants: 10 applied, 2 failed. The tenant_failed events "
        "say why. Run the same command again when it is put right: what is at head costs next to nothing."
    )
    assert outcome.termination is not None
    assert outcome.termination["status"] == 50
    (third,) = [event for event in outcome.named("tenant_failed") if event["tenant"] == "tenant_3"]
    assert (third["exit_status"], third["revision"], third["sqlstate"], third["applied"]) == (40, "a1", "42P07", [])
    assert not database.has("tenant_3.alembic_version"), "the first revision was rolled back whole, its table included"
    (seventh,) = [event for event in outcome.named("tenant_failed") if event["tenant"] == "tenant_7"]
    assert (seventh["exit_status"], seventh["revision"], seventh["applied"]) == (40, "c3", ["a1", "b2"])
    assert {event["tenant"] for event in outcome.named("revision_started")} == set(broken)
    told = [event for event in outcome.events if event.get("tenant") == "tenant_7"]
    applied = ["revision_started", "revision_applied"]
    assert [event["event"] for event in told] == ["plan", *applied, *applied, "revision_started", "tenant_failed"]
    assert list(told[0])[:3] == ["timestamp", "level", "event"]
    assert [event["timestamp"] for event in told] == sorted(event["timestamp"] for event in told)
    database.execute("DROP TABLE tenant_3.orders; DROP TABLE tenant_7.items")
    again = gate.run(project, *FLEET).expect(0)
    assert states(again) == {"applied": broken, "at-head": sorted(set(tenants) - set(broken))}


def test_no_other_begins_after_a_canary_that_failed(project: Project, database: Database, gate: CommandLine) -> None:
    """The first tenant that is pending is alone, or the one that is named."""
    make_schemas(database, [f"tenant_{number}" for number in range(6)])
    database.execute("CREATE TABLE tenant_0.orders (id int); CREATE TABLE tenant_4.orders (id int)")
    add_orders(project)
    outcome = gate.run(project, *FLEET).expect(50)
    assert states(outcome) == {"failed": ["tenant_0"]}
    assert outcome.message == (
        "1 of 6 tenants failed: tenant_0. No other was begun, since a canary failed. Of 6 tenants: 1 failed, 5 not begun. The "
        "tenant_failed events say why. Run the same command again when it is put right: what is at head costs next to nothing."
    )
    assert states(gate.run(project, *FLEET, "--canary", "tenant_5,tenant_4").expect(50)) == {
        "applied": ["tenant_5"],
        "failed": ["tenant_4"],
    }


def test_stops_when_so_many_have_failed(project: Project, database: Database, gate: CommandLine) -> None:
    """Those after them are left as they were."""
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(8)])
    database.execute("; ".join(f"CREATE TABLE {tenant}.orders (id int)" for tenant in tenants[:4]))
    add_orders(project)
    rule = ("--canary", "0", "--max-failures", "2", "--concurrency", "1")
    outcome = gate.run(project, *FLEET, *rule).expect(50)
    assert states(outcome) == {"failed": ["tenant_0", "tenant_1"]}
    assert outcome.one("fleet_stopped")["reason"] == "2 tenants have failed"
    assert outcome.one("fleet_summary")["not_begun"] == 6


def test_wave_ends_before_the_next_begins(project: Project, database: Database, gate: CommandLine) -> None:
    """Also where a process has nothing to do meanwhile."""
    make_schemas(database, [f"tenant_{number}" for number in range(5)])
    database.execute("CREATE TABLE public.seen (tenant text, began timestamptz, ended timestamptz)")
    project.add(
        "a1",
        "INSERT INTO public.seen SELECT current_schema(), clock_timestamp();"
        " SELECT pg_sleep(CASE current_schema() WHEN 'tenant_1' THEN 0.5 ELSE 0 END);"
        " UPDATE public.seen SET ended = clock_timestamp() WHERE tenant = current_schema()",
    )
    gate.run(project, *FLEET, "--canary", "0", "--wave-size", "2", "--concurrency", "2").expect(0)
    spans = database.rows("SELECT tenant, began, ended FROM public.seen ORDER BY tenant")
    assert [tenant for tenant, _, _ in spans] == [f"tenant_{number}" for number in range(5)]
    waves = [spans[:2], spans[2:4], spans[4:]]
    for wave, following in itertools.pairwise(waves):
        assert max(ended for _, _, ended in wave) < min(began for _, began, _ in following)


def test_reader_of_one_keeps_no_other_waiting(project: Project, database: Database, gate: CommandLine) -> None:
    """The tenant ends at its own deadline with the holder named; when the reader has left, the next run does it."""
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(8)])
    add_orders(project)
    gate.run(project, "fleet", "upgrade", "a1", "--schemas", "tenant%").expect(0)
    reader = database.reader("tenant_2.orders")
    limits = ("--tenant-deadline", "4s", "--statement-timeout", "2s", "--wait-timeout", "2s")
    outcome = gate.run(project, *FLEET, *limits, "--lock-timeout", "50ms").expect(50)
    assert states(outcome) == {"failed": ["tenant_2"], "applied": [each for each in tenants if each != "tenant_2"]}
    failed = outcome.one("tenant_failed")
    assert (failed["exit_status"], failed["retryable"], failed["revision"]) == (31, True, "b2")
    assert f"reporting with pid {reader.info.backend_pid}" in failed["message"]
    reader.rollback()
    assert states(gate.run(project, *FLEET).expect(0))["applied"] == ["tenant_2"]


def upgrade_behind_reader(project: Project, database: Database, gate: CommandLine) -> Outcome:
    """Upgrade one tenant after the other, the first while somebody reads its table, who leaves when a try has failed."""
    reader = database.reader("tenant_0.people")
    project.add("a1", "ALTER TABLE people ADD name text")
    project.add("b2", "CREATE TABLE orders (id int)")
    run = gate.start(project, *FLEET, *PATIENT, "--concurrency", "1")
    database.until_waiting(seconds=0.1)
    database.until("NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    reader.rollback()
    return run.wait()


def test_lock_that_was_not_had_is_tried_again(project: Project, database: Database, gate: CommandLine) -> None:
    """The revision that waited and those after it are applied when the reader has left, in that tenant and the next."""
    make_schemas(database, ["tenant_0", "tenant_1"])
    database.execute("CREATE TABLE tenant_0.people (id int); CREATE TABLE tenant_1.people (id int)")
    outcome = upgrade_behind_reader(project, database, gate).expect(0)
    assert states(outcome) == {"applied": ["tenant_0", "tenant_1"]}
    first, second = outcome.named("tenant_done")
    assert (first["applied"], second["applied"]) == (["a1", "b2"], ["a1", "b2"])
    assert first["tries"] > second["tries"] == 2
    assert (version_of(database, "tenant_0"), version_of(database, "tenant_1")) == (["b2"], ["b2"])


def test_failed_try_takes_no_search_path_back(project: Project, database: Database, gate: CommandLine) -> None:
    """An env.py that asks something first is in a transaction, which the tenant's search_path is set in too."""
    make_schemas(database, ["tenant_0", "tenant_1"])
    database.execute("CREATE TABLE tenant_0.people (id int); CREATE TABLE tenant_1.people (id int)")
    database.execute("CREATE TABLE people (id int)")
    asks = project.env.replace("context.run_migrations()", "context.execute('SELECT 1'); context.run_migrations()")
    project.write("migrations/env.py", asks)
    assert states(upgrade_behind_reader(project, database, gate).expect(0)) == {"applied": ["tenant_0", "tenant_1"]}
    assert (version_of(database, "tenant_0"), version_of(database, "tenant_1")) == (["b2"], ["b2"])
    assert not database.has("public.orders")


def test_dropped_and_made_in_the_middle(project: Project, database: Database, gate: CommandLine) -> None:
    """A tenant that is gone is no failure, and one that appeared meanwhile is not lost."""
    make_schemas(database, ["tenant_0", "tenant_1", "tenant_2", "tenant_9"])
    add_orders(project)
    project.add(
        "d4",
        """
        if op.get_bind().dialect.default_schema_name == "tenant_1":
            op.execute("DROP SCHEMA tenant_9 CASCADE; CREATE SCHEMA tenant_new")
        """,
    )
    outcome = gate.run(project, *FLEET, "--concurrency", "1").expect(0)
    assert states(outcome) == {"applied": ["tenant_0", "tenant_1", "tenant_2", "tenant_new"]}
    assert outcome.one("tenant_gone")["tenant"] == "tenant_9"
    assert version_of(database, "tenant_new") == ["d4"]


def test_listed_without_a_schema_is_a_failure(
    project: Project, database: Database, gate: CommandLine, tmp_path: Path
) -> None:
    """A name in a file that is no schema is a mistake, or a tenant that nobody made."""
    make_schemas(database, ["tenant_0"])
    add_orders(project)
    listed = tmp_path / "tenants"
    listed.write_text("# all\ntenant_0\n\n  typo \ntenant_0\n")
    outcome = gate.run(project, "fleet", "upgrade", "--tenants-file", str(listed)).expect(50)
    assert states(outcome) == {"applied": ["tenant_0"], "failed": ["typo"]}
    assert outcome.one("tenant_failed")["message"] == (
        "There is no schema typo. Take the tenant out of the source, or create its schema."
    )


def test_sigterm_rolls_back_the_tenant_at_work(project: Project, database: Database, gate: CommandLine) -> None:
    """It ends with 143; what was done stays, nothing is half done, the next run goes on."""
    make_schemas(database, [f"tenant_{number}" for number in range(5)])
    project.add("a1", "CREATE TABLE orders (id int)")
    project.add(
        "b2",
        'op.execute("SELECT pg_sleep(" + ("60" if op.get_bind().dialect.default_schema_name == "tenant_2" else "0") + ")")',
    )
    run = gate.start(project, *FLEET, "--concurrency", "1")
    database.until_running("%pg_sleep(60)%")
    run.send(signal.SIGTERM)
    outcome = run.wait().expect(143)
    assert states(outcome) == {"applied": ["tenant_0", "tenant_1"], "interrupted": ["tenant_2"]}
    assert outcome.message == (
        "SIGTERM arrived. Of 5 tenants: 2 applied, 1 interrupted, 2 not begun. Run the same command again: it goes on where "
        "this run stopped."
    )
    assert (version_of(database, "tenant_2"), version_of(database, "tenant_3")) == (["a1"], [])
    database.until(
        "NOT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database())"
    )


def test_two_fleets_at_once_do_each_revision_once(project: Project, database: Database, gate: CommandLine) -> None:
    """A tenant that the other is at is waited for, and is at head then."""
    tenants = make_schemas(database, [f"tenant_{number:02}" for number in range(20)])
    add_orders(project)
    runs = [gate.start(project, *FLEET, "--concurrency", "2") for _ in range(2)]
    outcomes = [run.wait().expect(0) for run in runs]
    applied = [event["tenant"] for outcome in outcomes for event in outcome.named("tenant_done") if event["applied"]]
    assert sorted(applied) == tenants
    assert {tuple(version_of(database, tenant)) for tenant in tenants} == {("c3",)}


def test_no_tenant_meets_the_session_of_another(project: Project, database: Database, gate: CommandLine) -> None:
    """A setting, a role, a temporary table or a lock that a revision leaves in its session ends with the tenant."""
    tenants = make_schemas(database, ["tenant_0", "tenant_1", "tenant_2"])
    project.add("a1", "CREATE TABLE seen AS SELECT current_setting('work_mem') AS mem, pg_my_temp_schema() AS temp")
    project.add("b2", "SET work_mem = '123MB'; CREATE TEMPORARY TABLE left_over (id int); SET search_path = tenant_0")
    outcome = gate.run(project, *FLEET, "--concurrency", "1").expect(0)
    assert states(outcome) == {"applied": tenants}
    assert {database.rows(f"SELECT mem, temp::int FROM {tenant}.seen")[0] for tenant in tenants} == {("4MB", 0)}


def test_connection_is_a_new_one_after_some_thousand_statements(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """What a server process remembers of every table does not grow with the number of tenants."""
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(3)])
    project.add(
        "a1",
        """
        for _ in range(2000):
            op.get_bind().exec_driver_sql("SELECT 1")
        op.execute("CREATE TABLE seen AS SELECT pg_backend_pid() AS pid")
        """,
    )
    gate.run(project, *FLEET, "--concurrency", "1").expect(0)
    first, second, third = [database.value(f"SELECT pid FROM {tenant}.seen") for tenant in tenants]
    assert first == second != third


def test_declared_backfill_is_of_the_tenants_own_table(project: Project, database: Database, gate: CommandLine) -> None:
    """The session that does it in batches means by a name what the revision means."""
    tenants = make_schemas(database, ["tenant_0", "tenant_1"])
    for schema in ("public", *tenants):
        database.execute(
            f"CREATE TABLE {schema}.orders AS SELECT n AS id, NULL::text AS currency FROM generate_series(1, 50) AS n"
        )
        database.execute(f"ALTER TABLE {schema}.orders ADD PRIMARY KEY (id)")
    declared = {"table": "orders", "set": "currency = 'EUR'", "where": "currency IS NULL"}
    project.add("a1", head=f"sage_migrate = {{'backfill': {declared}}}")
    gate.run(project, *FLEET, "--concurrency", "1").expect(0)
    left = [
        database.value(f"SELECT count(*) FROM {schema}.orders WHERE currency IS NULL")
        for schema in ("public", *tenants)
    ]
    assert left == [50, 0, 0]


def test_env_for_several_databases_is_refused(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """Whose tenants the second one's would be cannot be told."""
    twice = SYNC.replace(
        "        with context.begin_transaction():\n            context.run_migrations()\n\nif",
        "        for _ in range(2):\n            context.run_migrations()\n\nif",
    )
    assert twice != SYNC
    project = Project(tmp_path / "twice", twice)
    add_orders(project)
    make_schemas(database, ["tenant_0", "tenant_1"])
    outcome = gate.run(project, *FLEET).expect(2)
    assert outcome.message == (
        "env.py runs migrations more than once, and a fleet of schemas needs one that does so once. Nothing was applied by this run. "
        "Let env.py migrate what `-x tenant=NAME` names, and say --tenant-is argument."
    )
    assert version_of(database, "tenant_0") == []
