"""Several runs share a fleet: by shards, by slots of a server; and what is told of the whole."""

import json
import os
import signal
import subprocess
from pathlib import Path

from harness.command import CommandLine, Launcher
from harness.postgres import Database
from harness.project import Project
from harness.terminal import screen_of
from sage_migrate.fleet.shards import divide_by_size, shard_of
from sage_migrate.fleet.tenants import parse_lines

from fleet.schemas import add_orders, make_schemas, states, version_of

FLEET = ("fleet", "upgrade", "--schemas", "tenant%")


def test_each_tenant_is_of_one_shard(project: Project, database: Database, gate: CommandLine) -> None:
    """The pods of an Indexed Job do all of them together, none of them twice."""
    tenants = make_schemas(database, [f"tenant_{number:02}" for number in range(12)])
    add_orders(project)
    done = []
    for index in range(3):
        pod = {"SAGE_MIGRATE_SHARDS": "3", "JOB_COMPLETION_INDEX": str(index)}
        outcome = gate.run(project, *FLEET, **pod).expect(0)
        assert all(shard_of(tenant, 3) == index for tenant in states(outcome).get("applied", []))
        done += states(outcome).get("applied", [])
    assert sorted(done) == tenants
    assert gate.run(project, *FLEET, "--shards", "3").expect(2).message == (
        "The tenants are divided into 3 shards, and it is not said which of them is this run's. Nothing was applied by this run. "
        "Give --shard, or run as an Indexed Job, which sets JOB_COMPLETION_INDEX."
    )


def test_larger_tenants_are_dealt_out_first() -> None:
    """Each shard has about as much to do; those without a size are divided evenly, whatever the order of their source."""
    sizes = {"a": 900_000_000, "b": 500_000_000, "c": 450_000_000, "d": 10_000_000} | {f"e{n}": 0 for n in range(6)}
    shard = divide_by_size(sizes, 2)
    assert (shard["a"], shard["b"], shard["c"]) == (0, 1, 1)
    assert divide_by_size(dict(reversed(sizes.items())), 2) == shard
    equal = divide_by_size({f"tenant_{number:02}": 0 for number in range(12)}, 3)
    assert [list(equal.values()).count(number) for number in range(3)] == [4, 4, 4]


def test_no_tenant_is_lost_where_sizes_change(project: Project, database: Database, gate: CommandLine) -> None:
    """A pod that begins later sees other sizes, by which a tenant is none of its own, and a tenant that is new."""
    project.add("a1", "CREATE TABLE orders (id int)")
    names = [f"tenant_{number}" for number in range(20)]
    first, lost, new = [name for name in names if shard_of(name, 2) == 1][:3]
    make_schemas(database, [first, lost])

    def pretend(**pages: int) -> None:
        for name, count in pages.items():
            database.execute(f"CREATE TABLE IF NOT EXISTS {name}.data (id int)")
            database.execute(f"UPDATE pg_class SET relpages = {count} WHERE oid = '{name}.data'::regclass")

    def run(index: int) -> list[str]:
        pod = {"SAGE_MIGRATE_SHARDS": "2", "SAGE_MIGRATE_SHARD_BY": "size", "JOB_COMPLETION_INDEX": str(index)}
        return states(gate.run(project, *FLEET, **pod).expect(0)).get("applied", [])

    pretend(**{first: 90_000, lost: 10})
    assert run(0) == [first]
    pretend(**{first: 10, lost: 90_000})
    make_schemas(database, [new])
    assert run(1) == sorted([lost, new]), "by size, the first pod would have done the one and the other is of its own"


def test_failed_shard_is_named(project: Project, database: Database, gate: CommandLine) -> None:
    """What Helm prints of a pod that failed says which index it is and whose tenants."""
    make_schemas(database, ["tenant_0"])
    database.execute("CREATE TABLE tenant_0.orders (id int)")
    add_orders(project)
    index = shard_of("tenant_0", 2)
    outcome = gate.run(project, *FLEET, SAGE_MIGRATE_SHARDS="2", JOB_COMPLETION_INDEX=str(index)).expect(50)
    assert outcome.message.startswith(f"1 of 1 tenants of shard {index} failed: tenant_0.")


def test_slots_bound_all_runs_together(project: Project, database: Database, gate: CommandLine) -> None:
    """With one slot on the server, one tenant is at work at a time, whichever run has it; all are done."""
    tenants = make_schemas(database, [f"tenant_{number}" for number in range(6)])
    database.execute("CREATE TABLE public.seen (others bigint)")
    project.add(
        "a1",
        "INSERT INTO public.seen SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'sage-migrate watch'",
    )
    runs = [gate.start(project, *FLEET, "--slots", "1", "--concurrency", "2") for _ in range(2)]
    applied = [tenant for run in runs for tenant in states(run.wait().expect(0)).get("applied", [])]
    assert sorted(applied) == tenants
    assert database.rows("SELECT DISTINCT others FROM public.seen") == [(1,)]


def test_status_says_who_is_where(project: Project, database: Database, gate: CommandLine) -> None:
    """Behind, ahead, unknown, at head; for a person and for machines."""
    make_schemas(database, [f"tenant_{number}" for number in range(4)])
    add_orders(project)
    gate.run(project, "fleet", "upgrade", "--schemas", "tenant_0").expect(0)
    gate.run(project, "fleet", "upgrade", "b2", "--schemas", "tenant_1").expect(0)
    asked = ("fleet", "status", "--schemas", "tenant%")
    status = gate.run(project, *asked, "--format", "json").expect(3)
    assert json.loads(status.stdout) == {
        "head": ["c3"],
        "tenants": 4,
        "states": {"at-head": 1, "pending": 3},
        "revisions": {"(none)": 2, "c3": 1, "b2": 1},
        "stragglers": [
            {"tenant": "tenant_1", "state": "pending", "current": ["b2"], "pending": 1, "reason": ""},
            {"tenant": "tenant_2", "state": "pending", "current": [], "pending": 3, "reason": ""},
            {"tenant": "tenant_3", "state": "pending", "current": [], "pending": 3, "reason": ""},
        ],
        "drift": [],
        "not_compared": 0,
    }
    database.execute("UPDATE tenant_1.alembic_version SET version_num = 'stray'")
    text = gate.run(project, *asked).expect(21).stdout
    assert text.splitlines() == [
        "head       c3",
        "tenants    4",
        "at-head    1",
        "pending    2",
        "unknown    1",
        "revision   (none)  2",
        "revision   c3  1",
        "revision   stray  1",
        "straggler  tenant_2  pending  (none)  3 pending",
        "straggler  tenant_3  pending  (none)  3 pending",
        "straggler  tenant_1  unknown  stray  the lineage recorded in the database does not know stray",
    ]
    project.remove("c3")
    gate.run(project, *asked, "--schemas", "tenant_0").expect(0)


def test_terminal_shows_how_far_the_fleet_is(
    project: Project, database: Database, launcher: Launcher, tmp_path: Path
) -> None:
    """In a line under the log, which is gone in the end; each tenant's line stays above it."""
    make_schemas(database, [f"tenant_{number}" for number in range(3)])
    project.add("a1")
    screen = screen_of(launcher, project, *FLEET, url=database.url(), err=tmp_path / "err")
    drawn = [f"Of 3 tenants: {count} applied, {3 - count} not begun.\r\r\x1b[K" for count in (1, 2)]
    assert [each in screen for each in drawn] == [True, True], screen
    assert "Of 3 tenants: 3 applied.\r\r\x1b[K" in screen
    lines = [line.rpartition("\x1b[K")[2] for line in screen.splitlines()]
    assert sum("tenant_done" in line for line in lines) == 3
    assert "not begun" not in lines[-1]


def test_process_that_dies_takes_one_tenant_with_it(project: Project, database: Database, gate: CommandLine) -> None:
    """As when the system ends one that takes too much memory: the next tenant gets a new process."""
    make_schemas(database, [f"tenant_{number}" for number in range(3)])
    project.add(
        "a1",
        'op.execute("SELECT pg_sleep(" + ("60" if op.get_bind().dialect.default_schema_name == "tenant_1" else "0") + ")")',
    )
    run = gate.start(project, *FLEET, "--concurrency", "1")
    database.until_running("%pg_sleep(60)%")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    (child,) = [int(pid) for pid, parent in map(str.split, listed.splitlines()) if int(parent) == run.process.pid]
    os.kill(child, signal.SIGKILL)
    outcome = run.wait().expect(50)
    assert states(outcome) == {"applied": ["tenant_0", "tenant_2"], "failed": ["tenant_1"]}
    assert outcome.one("tenant_failed")["message"] == (
        "The process that was at work ended by itself, with exit code -9. Where the system ended it (-9), give it more memory or "
        "lower --concurrency; then run this again."
    )
    assert version_of(database, "tenant_1") == []


def test_fleet_and_a_plain_run_wait_for_each_other(project: Project, database: Database, gate: CommandLine) -> None:
    """A run of the whole database has its lock alone; the fleet's tenants are begun when it has ended."""
    make_schemas(database, ["tenant_0"])
    add_orders(project)
    holder = database.connect("sage-migrate lock")
    key = database.value("SELECT ('x' || left(encode(sha256('sage-migrate'), 'hex'), 16))::bit(64)::bigint")
    holder.execute(f"SELECT pg_advisory_lock({key})")
    failed = gate.run(project, *FLEET, "--if-locked", "fail").expect(30)
    assert f"pid {holder.info.backend_pid}" in failed.message
    holder.execute(f"SELECT pg_advisory_unlock({key})")
    gate.run(project, *FLEET, "--if-locked", "fail").expect(0)


def test_lines_of_a_file_are_names_and_urls() -> None:
    """What is no URL at the end of a line belongs to the name."""
    lines = [
        "# a comment",
        "",
        "a",
        "  b  ",
        "c d",
        "e\tpostgresql://u:p@h/e",
        "f g postgresql+asyncpg://h/f?x=%20y",
        "h http://x",
    ]
    assert list(parse_lines(lines)) == [
        ("a", None),
        ("b", None),
        ("c d", None),
        ("e", "postgresql://u:p@h/e"),
        ("f g", "postgresql+asyncpg://h/f?x=%20y"),
        ("h http://x", None),
    ]
