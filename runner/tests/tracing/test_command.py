"""The command: what is traced, on what, and how it ends."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import env_files
from harness.command import CommandLine, Outcome
from harness.postgres import Database
from harness.project import Project

Trace = Callable[..., Outcome]


def revisions(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the revisions of an answer in JSON."""
    found: list[dict[str, Any]] = json.loads(outcome.stdout)["revisions"]
    return found


def git(project: Project, *commands: str) -> None:
    """Run commands of Git in the project."""
    for command in commands:
        subprocess.run(["git", *command.split()], cwd=project.directory, check=True)


def use(project: Project, style: env_files.Style) -> None:
    """Let the project's env.py be of a style."""
    project.write("migrations/env.py", style.env)
    configuration = project.directory.joinpath("alembic.ini").read_text()
    project.write("alembic.ini", configuration.replace("driver:", f"postgresql+{style.driver}:"))


def test_a_safe_revision_ends_in_status_0(trace: Trace, shop: Project) -> None:
    """The answer is text: the revision, its statements, the locks."""
    shop.add("b2", "ALTER TABLE orders ADD COLUMN note text")
    answer = trace("a1:").expect(0).stdout
    assert answer.startswith("b2 b2.  [expand]\n  migrations/versions/b2.py, ")
    assert "  ALTER TABLE orders ADD COLUMN note text\n                 ACCESS EXCLUSIVE on orders, held " in answer
    assert "1 revision, 0 hazards; PostgreSQL " in answer


def test_a_hazard_ends_in_status_1_with_the_words_of_lint(trace: Trace, shop: Project) -> None:
    """JSON has locks, scans and the finding."""
    shop.add("b2", "CREATE INDEX ix_orders_status ON orders (status)")
    (revision,) = revisions(trace("a1:b2", "--format", "json").expect(1))
    (statement,) = revision["statements"]
    assert [(lock["relation"], lock["mode"]) for lock in statement["locks"]] == [("orders", "SHARE")]
    assert statement["scans"] == ["orders"]
    assert statement["indexes_built"] == ["ix_orders_status"]
    assert statement["line"] == 13
    (hazard,) = revision["hazards"]
    assert (hazard["code"], hazard["hazards"], hazard["relation"]) == ("SM101", ["blocks_writes_long"], "orders")


@pytest.mark.parametrize("style", env_files.STYLES, ids=lambda style: style.name)
def test_every_driver_is_traced(trace: Trace, shop: Project, style: env_files.Style) -> None:
    """Locks, scans and rewrites are seen through any driver, sync or async."""
    use(shop, style)
    shop.add("b2", "ALTER TABLE orders ALTER COLUMN total TYPE bigint")
    (revision,) = revisions(trace("a1:", "--format", "json").expect(1))
    (statement,) = revision["statements"]
    assert statement["rewrites"] == ["orders"]
    assert [hazard["code"] for hazard in revision["hazards"]] == ["SM107"]


def test_an_env_py_that_commits_by_hand_is_traced(trace: Trace, shop: Project) -> None:
    """It begins a transaction after `configure`, which each of its runs ends itself."""
    by_hand = env_files.SYNC.replace("with context.begin_transaction():", "with connection.begin() as transaction:")
    by_hand = by_hand.replace("run_migrations()\n\nif", "run_migrations()\n            transaction.commit()\n\nif")
    assert "transaction.commit()" in by_hand
    shop.write("migrations/env.py", by_hand)
    shop.add("b2", "ALTER TABLE orders ALTER COLUMN total TYPE bigint")
    shop.add("c3", "ALTER TABLE orders ADD COLUMN note text")
    first, second = revisions(trace("a1:", "--format", "json").expect(1))
    assert [hazard["code"] for hazard in first["hazards"]] == ["SM107"]
    assert second["hazards"] == []


def test_nothing_but_the_scratch_database_is_reached(trace: Trace, shop: Project, database: Database) -> None:
    """An env.py that insists on a database of its own is refused before it sends anything."""
    shop.write(
        "migrations/env.py",
        env_files.SYNC.replace(
            "section = ",
            f"config.set_main_option('sqlalchemy.url', {database.url('psycopg2').replace('%', '%%')!r})\n    section = ",
        ),
    )
    shop.add("b2", "ALTER TABLE orders ADD COLUMN note text")
    outcome = trace("a1:").expect(2)
    assert "A connection reaches a database that is not the trace's own: nothing was sent to it" in outcome.stderr
    assert not database.has("alembic_version")


def test_a_given_server_keeps_nothing(trace: Trace, shop: Project, database: Database) -> None:
    """The database that was made there is dropped, also after a failure."""
    shop.add("b2", "SELECT 1 / 0")
    trace("a1:").expect(1)
    assert database.rows("SELECT datname FROM pg_database WHERE datname LIKE 'sage_trace%'") == []


def test_nothing_new_needs_no_server(trace: Trace, shop: Project) -> None:
    """Git tells that no revision is new, and nothing is started."""
    git(shop, "init -q -b main", "add .", "-c user.name=a -c user.email=a@b commit -qm a")
    nowhere = ("--scratch-url", "postgresql://nobody@127.0.0.1:1/none")
    assert trace(*nowhere).expect(0).stdout == "No revision is new in this range.\n"
    shop.add("b2", "ALTER TABLE orders ADD COLUMN note text")
    assert "b2 b2.  [expand]" in trace().expect(0).stdout
    assert "cannot be used" in trace(*nowhere).expect(2).stderr


def test_failures_are_told_and_the_others_are_traced(trace: Trace, shop: Project) -> None:
    """A revision that fails, one that commits itself, one that ends the process, one that calls the network."""
    shop.add("b2", "ALTER TABLE nowhere ADD COLUMN note text")
    shop.add("b3", "op.execute('ALTER TABLE orders ADD COLUMN a int')\nop.get_bind().commit()")
    shop.add("b4", "import sys; sys.exit(3)")
    shop.add("b5", "import socket; socket.create_connection(('192.0.2.1', 80), 1)")
    shop.add("b6", "CREATE EXTENSION no_such_extension")
    shop.add("b7", "GRANT SELECT ON orders TO nobody_here")
    shop.add("b8", "op.execute('ALTER TABLE orders ADD COLUMN b int')\nop.get_bind().engine.connect().close()")
    found = {each["revision"]: each for each in revisions(trace("a1:", "--format", "json").expect(1))}
    assert found["b2"]["problem"].startswith('relation "nowhere" does not exist. ')
    assert found["b2"]["statements"][0]["problem"] == 'relation "nowhere" does not exist'
    assert found["b3"]["problem"] == ""
    assert found["b3"]["notes"] == [
        "It commits by itself: what stands before that stays when what comes after it fails."
    ]
    assert found["b4"]["problem"].startswith("it ends the process (exit 3). ")
    assert found["b5"]["problem"].startswith("trace refuses a call to 192.0.2.1. ")
    assert found["b5"]["notes"] == [
        "It calls the network (192.0.2.1), which trace refuses: a migration must not depend on it."
    ]
    assert "--scratch-url" in found["b6"]["problem"]
    assert "--setup" in found["b7"]["problem"]
    assert [each["sql"] for each in found["b8"]["statements"]] == ["ALTER TABLE orders ADD COLUMN b int"]
    assert found["b8"]["problem"] == ""
    assert found["b8"]["notes"] == [
        "It opens a connection of its own: what it says there is outside of its transaction, and was not traced."
    ]


@pytest.mark.parametrize(
    ("style", "waiting"),
    [
        (env_files.STYLES[0], "op.execute('SET statement_timeout = 0')\nop.execute('SELECT pg_sleep(3600)')"),
        (env_files.STYLES[2], "import time; time.sleep(3600)"),
    ],
    ids=["psycopg2 in the server", "asyncpg in Python"],
)
def test_a_revision_that_does_not_end_is_ended(
    trace: Trace, shop: Project, style: env_files.Style, waiting: str
) -> None:
    """Wherever it waits, and whatever timeout it has set itself; what follows is traced."""
    use(shop, style)
    shop.add("b2", waiting)
    shop.add("b3", "ALTER TABLE orders ADD COLUMN b int")
    answer = trace("a1:", "--revision-timeout", "5s", "--format", "json", "--checks", "").expect(1)
    found = {each["revision"]: each["problem"] for each in revisions(answer)}
    assert found == {
        "b2": "it did not end within 5 s. Let it not wait for what never comes; where it only has much to do, allow it more: "
        "--revision-timeout.",
        "b3": "",
    }


def test_the_embedded_server_is_kept_at_the_base(gate: CommandLine, shop: Project, tmp_path: Path) -> None:
    """Without --scratch-url a server of the trace's own runs; the next trace of the same history begins at its base."""
    shop.add("b2", "ALTER TABLE orders ADD COLUMN note text")
    arguments = ("trace", "a1:", "--cache", str(tmp_path / "cache"), "--checks", "")
    assert "1 revision, 0 hazards" in gate.run(shop, *arguments, url=None).expect(0).stdout
    (kept,) = (tmp_path / "cache").iterdir()
    (kept / "data" / "kept").write_text("")
    assert "ACCESS EXCLUSIVE on orders" in gate.run(shop, *arguments, url=None).expect(0).stdout
    assert (kept / "data" / "kept").exists(), "the server was made anew"


def test_a_dump_of_production_stands_for_the_base(trace: Trace, shop: Project) -> None:
    """The history before the range is not run; settings of the dump do not outlive it."""
    shop.add("b2", "ALTER TABLE legacy ALTER COLUMN total TYPE bigint")
    dump = shop.write(
        "dump.sql",
        r"""
        \restrict x
        SELECT pg_catalog.set_config('search_path', '', false);
        CREATE TABLE public.legacy (id serial PRIMARY KEY, total int);
        """,
    )
    (revision,) = revisions(trace("a1:", "--schema-dump", str(dump), "--format", "json").expect(1))
    assert revision["statements"][0]["rewrites"] == ["legacy"]


def test_roles_are_made_by_setup(trace: Trace, shop: Project) -> None:
    """What the revisions take for granted runs first."""
    shop.add("b2", "SELECT 'kept' FROM granted_before")
    setup = shop.write("setup.sql", "CREATE TABLE granted_before (id int)")
    trace("a1:", "--setup", str(setup)).expect(0)
    assert "granted_before" in trace("a1:").expect(1).stdout


def test_there_and_back_again(trace: Trace, shop: Project) -> None:
    """A downgrade that does not lead back fails the run; one that declares no way back, or a switched-off check, does not."""
    shop.add("b2", "ALTER TABLE orders ADD COLUMN note text", downgrade="ALTER TABLE orders DROP COLUMN total")
    shop.add("b3", "SELECT 1 / 0")
    answer = trace("a1:").expect(1).stdout
    (shop.migrations / "versions" / "b3.py").unlink()
    shop.last = "b2"
    assert (
        "FAILED  round-trip b2: after downgrade orders lacks column total integer; orders has column note text"
        in answer
    )
    trace("a1:", "--checks", "single-head").expect(0)
    shop.add("c3", "ALTER TABLE orders ADD COLUMN other text", downgrade="raise NotImplementedError")
    assert "ok      round-trip c3: it declares no way back" in trace("b2:").expect(0).stdout


def test_old_models_are_loaded_from_a_git_reference(trace: Trace, shop: Project) -> None:
    """What the old release maps must go on working; a column that it does not map may go."""
    model = """
        from sqlalchemy import MetaData
        from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
        class Base(DeclarativeBase): pass
        class Order(Base):
            __tablename__ = "orders"
            id: Mapped[int] = mapped_column(primary_key=True)
            status: Mapped[str]
        """
    shop.write("models.py", model)
    git(shop, "init -q -b main", "add .", "-c user.name=a -c user.email=a@b commit -qm a", "tag v1")
    shop.write("models.py", "")
    shop.add("b2", "ALTER TABLE orders DROP COLUMN total", downgrade="ALTER TABLE orders ADD COLUMN total int")
    arguments = ("a1:", "--old-ref", "v1", "--old-models", "models:Base", "--format", "json")
    (revision,) = revisions(trace(*arguments).expect(1))
    assert (revision["verdict"], revision["hazards"][0]["hazards"]) == ("expand", ["data_loss"])
    shop.add("c3", "ALTER TABLE orders RENAME status TO state", downgrade="ALTER TABLE orders RENAME state TO status")
    found = revisions(trace(*arguments).expect(1))[1]
    assert (found["verdict"], found["compatible_with_old_code"]) == ("contract", False)
    (hazard,) = found["hazards"]
    assert (hazard["code"], hazard["hazards"]) == ("SM114", ["old_code_breaks"])
    assert any(proof.startswith("models.py:7: column") for proof in hazard["evidence"])


def test_statements_that_old_code_sends_are_said_again(trace: Trace, shop: Project) -> None:
    """SQL, or an export of pg_stat_statements with its placeholders."""
    shop.add("b2", "ALTER TABLE orders RENAME total TO sum", downgrade="ALTER TABLE orders RENAME sum TO total")
    sql = shop.write("old.sql", "SELECT id FROM orders;\nVACUUM orders;\n")
    trace("a1:", "--old-statements", str(sql)).expect(0)
    export = shop.write("old.csv", 'query\n"SELECT id FROM orders WHERE total > $1 LIMIT $2"\n')
    answer = trace("a1:", "--old-statements", str(export)).expect(1).stdout
    assert 'old.csv:2: column "total" does not exist: SELECT id FROM orders WHERE total > $1 LIMIT $2' in answer


def test_sizes_of_production_give_a_range(trace: Trace, shop: Project) -> None:
    """An estimate names its assumption."""
    table = {
        "schema": "public", "name": "orders", "kind": "table", "rows": 1_000_000, "table_bytes": 600_000_000,
        "index_bytes": 0, "writes_per_second": None,
    }  # fmt: skip
    stats = shop.write("stats.json", json.dumps({"format": 1, "tables": [table]}))
    shop.add("b2", "ALTER TABLE orders ALTER COLUMN total TYPE bigint")
    answer = trace("a1:", "--stats", str(stats)).expect(1).stdout
    assert "at production's size 2.00 s to 30.0 s (orders in production: about 1,000,000 rows" in answer
    assert "20 to 300 MB/s written)" in answer


def test_bad_options_end_in_status_2(trace: Trace, shop: Project) -> None:
    """Each says what is wrong."""
    shop.add("b2", "SELECT 1")
    for arguments, message in (
        (("nowhere:",), "The target 'nowhere' is no revision of this history"),
        (("a1:", "--checks", "all"), "There is no check all."),
        (("a1:", "--rows", "-1"), "rows is '-1'."),
        (("a1:", "--old-statements", "nowhere.sql"), "--old-statements names nowhere.sql, which is no file."),
        (("a1:", "--old-ref", "v1"), "--old-ref needs a Git repository, and there is none here."),
        ((), "Git does not tell which revisions are new here"),
    ):
        assert message in trace(*arguments).expect(2).stderr
