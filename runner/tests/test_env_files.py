"""What real env.py files and revisions do: each trap was seen in a released project, and breaks a naive runner."""

from pathlib import Path

import pytest
import sqlalchemy.engine
from harness.command import CommandLine
from harness.env_files import ASYNC, HEAD, STYLES, SYNC, Style
from harness.postgres import Database
from harness.project import Project

NEEDS_COMMIT = pytest.mark.skipif(
    not hasattr(sqlalchemy.engine.Connection, "commit"), reason="Connection.commit() is new in SQLAlchemy 2.0"
)
ENGINE = f"""{HEAD}
engine = engine_from_config(config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool)
"""

BEGINS_FIRST = f"""{ENGINE}
with engine.connect() as connection:
    with connection.begin():
        context.configure(connection=connection)
        context.run_migrations()
"""

QUERIES_FIRST = f"""{ENGINE}
with engine.begin() as connection:
    connection.execute(text("SELECT 1"))
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

RAW_AUTOCOMMIT = f"""{ENGINE}
with engine.connect() as connection:
    connection.connection.dbapi_connection.autocommit = True
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

# As privacyIDEA and Rucio hand their connections over.
AUTOCOMMIT_OPTION = f"""{ENGINE}
with engine.connect() as connection:
    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

TRANSLATED_SCHEMA = f"""{ENGINE}
with engine.connect() as connection:
    connection = connection.execution_options(schema_translate_map={{None: "public"}})
    context.configure(connection=connection, version_table_schema="public", include_schemas=True)
    with context.begin_transaction():
        context.run_migrations()
"""

OWN_LOCK = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        connection.execute(text("SET LOCAL lock_timeout = '4s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(4711)"))
        context.run_migrations()
"""

# As many took it from each other: nobody else is to migrate meanwhile.
LOCKS_VERSION_TABLE = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.get_context()._ensure_version_table()
        connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        context.run_migrations()
"""

ONE_TRANSACTION = SYNC.replace(
    "target_metadata)\n        with", "target_metadata, transaction_per_migration=False)\n        with"
)

UNKNOWN_OPTIONS = SYNC.replace(
    "target_metadata)\n        with",
    "target_metadata, compare_type=True, render_as_batch=False, an_option_of_our_own={'x': 1})\n        with",
)

OWN_CALLBACK = SYNC.replace(
    "target_metadata)\n        with",
    "target_metadata, on_version_apply=lambda step, **kw: print('applied', step.up_revision_id))\n        with",
)

OWN_CALLBACKS = OWN_CALLBACK.replace(
    "lambda step, **kw: print('applied', step.up_revision_id)", "{lambda **kw: print('applied')}"
)

IN_A_THREAD = f"""{SYNC.partition("if context.is_offline_mode")[0]}
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as executor:
    executor.submit(run_migrations_online).result()
"""

ASYNC_IN_A_THREAD = f"""{ASYNC.replace("asyncio.run(run_async_migrations())", "")}
import threading
thread = threading.Thread(target=lambda: asyncio.run(run_async_migrations()))
thread.start()
thread.join()
"""

COMMAND_OPTIONS = SYNC.replace(
    "target_metadata = None",
    "target_metadata = None\nassert not getattr(config.cmd_opts, 'autogenerate', False)\nassert config.cmd_opts.x is None",
)

SECOND_ENGINE = (
    ENGINE
    + """
def own_lock_timeout():
    with engine.connect() as connection:
        return connection.execute(text("SHOW lock_timeout")).scalar()

assert own_lock_timeout() == "0"
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    assert own_lock_timeout() == "0"
"""
)

OWN_SETTINGS = SYNC.replace(
    "config = context.config",
    "import os\nconfig = context.config\n"
    "config.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%'))",
)

MODELS_FIRST = f"""{ENGINE}
import sqlalchemy
sqlalchemy.Table("model", metadata := sqlalchemy.MetaData(), sqlalchemy.Column("id", sqlalchemy.Integer))
metadata.create_all(engine)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

ASYNC_BEGIN = ASYNC.replace("connectable.connect()", "connectable.begin()")

ASYNC_WRAPPER = (
    ASYNC.replace("connectable = async_engine_from_config(", "connectable = AsyncEngine(engine_from_config(")
    .replace("poolclass=pool.NullPool)", "poolclass=pool.NullPool, future=True))")
    .replace("import async_engine_from_config", "import AsyncEngine")
    .replace(
        "asyncio.run(run_async_migrations())", "asyncio.new_event_loop().run_until_complete(run_async_migrations())"
    )
)

BEGINS_BETWEEN = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    with connection.begin():
        context.run_migrations()
"""

BY_HAND = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection, transactional_ddl=None)
    transaction = connection.begin()
    try:
        context.run_migrations()
    except Exception:
        transaction.rollback()
        raise
    transaction.commit()
"""

ASYNC_BY_HAND = ASYNC.replace(
    """    with context.begin_transaction():
        context.run_migrations()
""",
    """    transaction = connection.begin()
    try:
        context.run_migrations()
    except Exception:
        transaction.rollback()
        raise
    transaction.commit()
""",
)

QUERIES_BETWEEN = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    connection.execute(text("SET TIME ZONE 'UTC'"))
    context.run_migrations()
    connection.commit()
"""

# As AiiDA, which leaves transactions to Alembic alone.
NO_TRANSACTION = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, on_version_apply=None)
    context.run_migrations()
"""

DDL_IS_NOT_TRANSACTIONAL = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection, transactional_ddl=False)
    with context.begin_transaction():
        context.run_migrations()
"""

SESSION = f"""{ENGINE}
from sqlalchemy.orm import Session
with Session(engine) as session:
    context.configure(connection=session.connection())
    with context.begin_transaction():
        context.run_migrations()
    session.commit()
"""

ENGINE_AUTOCOMMIT = (
    ENGINE.replace("poolclass", 'isolation_level="AUTOCOMMIT", poolclass')
    + """
connection = engine.connect()
context.configure(connection=connection)
try:
    with context.begin_transaction():
        context.run_migrations()
finally:
    connection.close()
"""
)

EXITS = f"{SYNC}\nimport sys\nsys.exit(0)\n"

# As Galaxy, which looks at the command line, and applications that look at who imports them.
WHO_IMPORTS = SYNC.replace(
    "target_metadata = None",
    """
import sys
assert "alembic" in sys.argv[0]
assert config.cmd_opts.cmd[0].__name__ == "upgrade"
assert context.get_starting_revision_argument() is context.get_tag_argument() is None
assert context.get_revision_argument() == context.get_head_revision() == "c3"
target_metadata = None
""",
)

TRAPS = {
    name.lower(): value
    for name, value in list(globals().items())
    if name.isupper() and isinstance(value, str) and name not in ("ASYNC", "ENGINE", "HEAD", "SYNC")
}
REVISIONS = {
    "plain": "op.create_table('two', sa.Column('id', sa.Integer, primary_key=True), sa.Column('kind', sa.Enum('a', 'b', name='kind')))",
    "concurrently": """
        with op.get_context().autocommit_block():
            op.create_index("one_id", "one", ["id"], postgresql_concurrently=True)
        op.execute("CREATE TABLE two (id int)")
    """,
    "savepoint": """
        try:
            with op.get_bind().begin_nested():
                op.execute("SELECT 1/0")
        except Exception:
            op.execute("CREATE TABLE two (id int)")
    """,
    "own limits": "op.execute(\"SET statement_timeout = 0; SET LOCAL lock_timeout = '5s'\"); op.execute('CREATE TABLE two (id int)')",
    "second connection": """
        with op.get_bind().engine.connect() as second:
            assert second.execute(sa.text("SHOW lock_timeout")).scalar() == "0"
            count = second.execute(sa.text("SELECT 1")).scalar()
        op.create_table("two", *[sa.Column(f"c{i}", sa.Integer) for i in range(count)])
    """,
    "search_path": """
        op.execute("CREATE SCHEMA own; SET search_path = own")
        op.execute("CREATE TABLE two (id int)")
        op.execute("RESET search_path")
    """,
    "session": """
        from sqlalchemy.orm import Session
        session = Session(bind=op.get_bind())
        session.execute(sa.text("CREATE TABLE two (id int)"))
        session.commit()
    """,
    "raw commit": """
        op.execute("CREATE TYPE kind AS ENUM ('a')")
        op.execute("COMMIT")
        op.execute("ALTER TYPE kind ADD VALUE 'b'")
        op.execute("CREATE INDEX CONCURRENTLY one_id ON one (id)")
        op.execute("CREATE TABLE two (id int)")
    """,
    "raw commit and begin": """
        op.execute("COMMIT")
        op.execute("CREATE INDEX CONCURRENTLY one_id ON one (id)")
        op.execute("BEGIN")
        op.execute("CREATE TABLE two (id int)")
    """,
    "percent": "op.execute(\"COMMENT ON TABLE one IS '100% :sure'\".replace(':', '\\\\:')); op.execute('CREATE TABLE two (id int)')",
}  # fmt: skip


def fill(project: Project, revision: str) -> None:
    """Add three revisions, the second of which is special."""
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", REVISIONS[revision])
    project.add("c3", "ALTER TABLE one ADD name text")


PROJECTS = [
    *((env, "plain") for env in TRAPS),
    *(("sync", revision) for revision in REVISIONS),
    *(("by_hand", revision) for revision in ("savepoint", "own limits", "raw commit", "session")),
    *(("async", revision) for revision in ("plain", "concurrently", "savepoint", "raw commit", "raw commit and begin")),
]


@pytest.mark.parametrize(("env", "revision"), PROJECTS)
def test_the_result_is_bare_alembics(
    env: str, revision: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The gate and `alembic upgrade head` end in the same schema, but for the lineage."""
    project = Project(tmp_path / "other", {"sync": SYNC, "async": ASYNC, **TRAPS}[env])
    fill(project, revision)
    driver = "asyncpg" if "sqlalchemy.ext.asyncio" in project.env else "psycopg2"
    gate.run(project, url=database.url(driver)).expect(0)
    by_gate = database.schema()
    other = Database(database.server, f"{database.name}_bare")
    try:
        gate.alembic(project, "upgrade", "head", url=other.url(driver)).expect(0)
        assert by_gate == other.schema()
    finally:
        other.drop()
    assert database.version() == ["c3"]


def test_an_env_py_that_lets_only_deadlocks_through(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It swallows the lock timeout, which bare Alembic would end as exit 0: the gate tries again, and says 31 at the deadline."""
    env = f"""{ENGINE}
import sqlalchemy.exc
with engine.connect() as connection:
    context.configure(connection=connection)
    try:
        with context.begin_transaction():
            context.run_migrations()
    except sqlalchemy.exc.OperationalError as error:
        if "deadlock" in str(error):
            raise
"""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    reader = database.reader("accounts")
    gate.run(project, "upgrade", "--deadline", "4s").expect(31)
    reader.rollback()
    gate.run(project).expect(0)


BY_HANDS = ["by_hand", "async_by_hand", "begins_between", pytest.param("queries_between", marks=NEEDS_COMMIT)]


@pytest.mark.parametrize("env", BY_HANDS)
def test_a_transaction_that_env_py_ends_by_hand(
    env: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """Begun after `configure`, it takes nothing away: a failed try is undone alone, and what came before is committed."""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", TRAPS[env])
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", 'op.execute("CREATE TABLE two (id int)")\nop.execute("ALTER TABLE accounts ADD x int")')
    project.add("c3", "SELECT 1/0")
    reader = database.reader("accounts")
    run = gate.start(project, url=database.url("asyncpg" if env == "async_by_hand" else "psycopg2"))
    run.until("lock_try_failed", revision="b2")
    assert database.version() == ["a1"]
    reader.rollback()
    outcome = run.wait().expect(40)
    assert outcome.failed["applied"] == ["a1", "b2"]
    assert database.version() == ["b2"]


@pytest.mark.parametrize("env", ["begins_first", "queries_first"])
def test_one_transaction_around_all(env: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An external transaction is said, and a failure in it leaves nothing and says nothing else."""
    project = Project(tmp_path / "other", TRAPS[env])
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "SELECT 1/0")
    outcome = gate.run(project).expect(40)
    assert outcome.one("external_transaction")["level"] == "warning"
    assert outcome.failed["applied"] == []
    assert outcome.message == (
        "Revision b2 failed: division by zero (SQLSTATE 22012) in: SELECT ?/?. Nothing was applied by this run. "
        "b2 was rolled back whole. Correct the revision, try it on a copy of the database, and release again."
    )
    assert database.version() == []


@pytest.mark.parametrize("env", ["begins_first", "queries_first"])
def test_one_transaction_around_all_is_retried(env: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """env.py is run again from its start when the lock in its one transaction was not to be had."""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", TRAPS[env])
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "ALTER TABLE accounts ADD x int")
    reader = database.reader("accounts")
    gate.start(project).wait_behind(reader, revision="b2").expect(0)
    assert database.version() == ["b2"]


def test_an_engine_of_the_application(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It outlives a run of env.py: nothing of that run listens to it in the next one."""
    env = f"""{ENGINE}
import builtins
builtins.engine = engine = getattr(builtins, "engine", engine)
listeners = engine.dialect.dispatch if hasattr(engine.dialect.dispatch, "handle_error") else engine.dispatch
assert not list(listeners.handle_error)
with engine.begin() as connection:
    connection.execute(text("SELECT 1"))
    context.configure(connection=connection)
    context.run_migrations()
"""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    reader = database.reader("accounts")
    gate.start(project).wait_behind(reader, revision="a1").expect(0)


def test_a_lock_of_env_py_itself_is_waited_for(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It locks the version table that somebody reads: env.py is run again from its start when that one has left."""
    project = Project(tmp_path / "other", TRAPS["locks_version_table"])
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    project.add("b2", "ALTER TABLE one ADD name text")
    reader = database.reader("alembic_version")
    outcome = gate.run(project, "upgrade", "--deadline", "8s").expect(31)
    tries = outcome.failed["tries"]
    assert outcome.message == (
        f"env.py did not get its lock on alembic_version in {tries} {'try' if tries == 1 else 'tries'} before the deadline "
        f"(SQLSTATE 55P03; reporting with pid {reader.info.backend_pid} held it) in: "
        "LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE. Nothing was applied by this run. End the transaction that holds it "
        "(the lock_try_failed events name it), or run it again when it is gone; --deadline (Helm: migration.deadline) lengthens "
        "the patience."
    )
    run = gate.start(project)
    assert run.until("lock_try_failed")["revision"] is None
    reader.rollback()
    run.wait().expect(0)
    assert database.version() == ["b2"]


def test_a_version_table_that_others_lock(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """A pod of the release before may run such an env.py at its start: the version is read when it has ended."""
    project = Project(tmp_path / "other", SYNC)
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    project.add("b2", "ALTER TABLE one ADD name text")
    pod = database.connect("pod", autocommit=False)
    pod.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
    run = gate.start(project)
    assert run.until("lock_try_failed")["revision"] is None
    pod.rollback()
    run.wait().expect(0)
    assert database.version() == ["b2"]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_search_path_that_is_set_on_connect(
    style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """A listener leaves it to the first COMMIT to keep the setting, as bare Alembic's does."""
    listener = """
def set_search_path(dbapi_connection, _record):
    cursor = dbapi_connection.cursor()
    cursor.execute("SET search_path = own")
    cursor.close()

from sqlalchemy import event
"""
    listen = "event.listen(getattr(connectable, 'sync_engine', connectable), 'connect', set_search_path)"
    env = style.env.replace("poolclass=pool.NullPool)", f"poolclass=pool.NullPool)\n    {listen}")
    database.execute("CREATE SCHEMA own")
    project = Project(tmp_path / "other", listener + env)
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", "ALTER TABLE one ADD name text")
    gate.run(project, url=database.url(style.driver)).expect(0)
    found = database.rows("SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('one', 'alembic_version')")
    assert sorted(found) == [("own", "alembic_version"), ("own", "one")]


@pytest.mark.parametrize("style", [STYLES[0], STYLES[2]], ids=lambda style: style.name)
@pytest.mark.parametrize(
    "how", ["SET search_path = own", "SET LOCAL search_path = own", "SELECT set_config('search_path', 'own', true)"]
)
def test_a_search_path_that_env_py_sets_itself(
    how: str, style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """A failed try or a COMMIT takes it back, and still every try of every revision finds that schema's tables."""
    env = style.env.replace("context.run_migrations()", f"context.execute({how!r}); context.run_migrations()")
    database.execute("CREATE SCHEMA own; CREATE TABLE own.accounts (id int); CREATE TABLE own.orders (id int)")
    database.execute("CREATE TABLE accounts (id int); CREATE TABLE orders (id int)")
    project = Project(tmp_path / "other", env)
    project.add("a1", "ALTER TABLE accounts ADD name text")
    project.add("b2", "ALTER TABLE orders ADD name text")
    accounts, orders = database.reader("own.accounts"), database.reader("own.orders")
    run = gate.start(project, url=database.url(style.driver))
    run.until("lock_try_failed", revision="a1")
    accounts.rollback()
    run.until("lock_try_failed", revision="b2")
    orders.rollback()
    run.wait().expect(0)
    assert database.version("own.alembic_version") == ["b2"]
    changed = database.rows(
        "SELECT table_schema FROM information_schema.columns WHERE column_name = 'name' AND table_name IN"
        " ('accounts', 'orders', 'alembic_version')"
    )
    assert changed == [("own",), ("own",)]
    assert not database.has("public.alembic_version")


def test_an_env_py_that_stamps_over_an_unknown_revision(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It would take Alembic's refusal of an unknown revision for a reason to call the database up to date (Skyvern)."""
    env = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        try:
            context.run_migrations()
        except Exception as error:
            if "Can't locate revision identified by" not in str(error):
                raise
            connection.execute(text("UPDATE alembic_version SET version_num = 'b2'"))
"""
    project = Project(tmp_path / "other", env)
    project.add("a1", "CREATE TABLE one (id int)")
    gate.run(project).expect(0)
    project.add("b2", "ALTER TABLE one ADD name text")
    database.execute("UPDATE alembic_version SET version_num = 'zz'")
    gate.run(project).expect(21)
    assert database.version() == ["zz"]


SWALLOWED = {
    "in a savepoint": """
        try:
            with op.get_bind().begin_nested():
                op.create_index("accounts_id", "accounts", ["id"])
        except Exception:
            print("goes on without the index")
    """,
    "in the transaction": """
        op.execute("SHOW lock_timeout")
        try:
            op.create_index("accounts_id", "accounts", ["id"])
        except Exception:
            print("goes on without the index")
        op.execute("SELECT 1")
    """,
}


@pytest.mark.parametrize("revision", SWALLOWED)
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_revision_that_swallows_the_lock_timeout(
    style: Style, revision: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """Bare Alembic would have waited: the revision is tried again, and not called applied without its index (Open WebUI)."""
    project = Project(tmp_path / "other", style.env)
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", SWALLOWED[revision])
    writer = database.connect("writer", autocommit=False)
    writer.execute("INSERT INTO accounts VALUES (1)")
    run = gate.start(project, url=database.url(style.driver))
    assert "CREATE INDEX accounts_id" in run.until("lock_try_failed")["statement"]
    writer.commit()
    run.wait().expect(0)
    assert database.has("accounts_id")


def test_a_revision_that_swallows_the_lock_timeout_of_one_row(
    tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The same statement for another row makes up for nothing."""
    project = Project(tmp_path / "other", SYNC)
    database.execute("CREATE TABLE accounts (id int, state int); INSERT INTO accounts VALUES (1, 0), (2, 0)")
    project.add(
        "a1",
        """
        for each in (1, 2):
            try:
                with op.get_bind().begin_nested():
                    op.get_bind().execute(sa.text("UPDATE accounts SET state = 1 WHERE id = :id"), {"id": each})
            except Exception:
                print("goes on without", each)
        """,
    )
    writer = database.connect("writer", autocommit=False)
    writer.execute("UPDATE accounts SET state = 0 WHERE id = 1")
    run = gate.start(project)
    run.until("lock_try_failed", revision="a1")
    writer.commit()
    run.wait().expect(0)
    assert database.rows("SELECT * FROM accounts ORDER BY id") == [(1, 1), (2, 1)]


@NEEDS_COMMIT
@pytest.mark.parametrize(
    ("env", "code"),
    [("sync", "op.get_bind().rollback()"), ("queries_between", "op.get_bind().commit()")],
    ids=["rollback", "commit by hand"],
)
def test_a_try_after_a_revision_has_ended_the_transaction(
    env: str, code: str, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """What fails then is in a transaction that neither Alembic nor env.py ends, and would fail every try after it."""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", {"sync": SYNC, **TRAPS}[env])
    project.add("a1", "CREATE TABLE one (id int)")
    add = 'op.execute("ALTER TABLE accounts ADD x int")'
    if "commit" in code:
        project.add("b2", code)
        project.add("c3", add)
    else:
        project.add("c3", f"{code}\n{add}")
    reader = database.reader("accounts")
    gate.start(project).wait_behind(reader, revision="c3").expect(0)
    assert database.version() == ["c3"]


def test_a_revision_that_tries_again_itself(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """What fails at first and is done in the end is no reason to try all of it again."""
    project = Project(tmp_path / "other", SYNC)
    database.execute("CREATE TABLE accounts (id int)")
    project.add(
        "a1",
        """
        writer = op.get_bind().engine.connect()
        writer.execute(sa.text("INSERT INTO accounts VALUES (1)"))
        with op.get_context().autocommit_block():
            try:
                op.execute("CREATE INDEX accounts_id ON accounts (id)")
            except sa.exc.OperationalError:
                writer.close()
                op.execute("CREATE INDEX accounts_id ON accounts (id)")
        assert writer.closed
        """,
    )
    assert gate.run(project).expect(0).one("revision_applied")["tries"] == 1
    assert database.has("accounts_id")


def test_a_dump_as_a_revision(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """pg_dump's preamble, comment first, is its own revision's alone: the next one has the run's limits again."""
    project = Project(tmp_path / "other", SYNC)
    project.add(
        "a1", "op.execute('-- PostgreSQL database dump\\n\\nSET statement_timeout = 0;\\nSET lock_timeout = 0;')"
    )
    project.add("b2", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS lock_timeout")
    gate.run(project, "upgrade", "--lock-timeout", "70ms").expect(0)
    assert database.value("SELECT lock_timeout FROM seen") == "70ms"


def test_autocommit_on_the_raw_connection(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """What the driver commits behind SQLAlchemy's back is not called rolled back."""
    project = Project(tmp_path / "other", RAW_AUTOCOMMIT)
    project.add("a1", "op.execute('CREATE TABLE one (id int)'); op.execute('SELECT 1/0')")
    outcome = gate.run(project).expect(40)
    assert database.has("one")
    assert "a1 committed a part of its work before it failed" in outcome.message


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_revision_that_says_commit(style: Style, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """What its own COMMIT has made durable is not tried again, and not called rolled back."""
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", style.env)
    project.add("a1", """
        op.execute("CREATE TABLE one (id int)")
        op.execute("COMMIT")
        op.execute("ALTER TABLE accounts ADD x int")
        """)  # fmt: skip
    database.reader("accounts")
    outcome = gate.run(project, url=database.url(style.driver)).expect(31)
    assert not outcome.named("lock_try_failed")
    assert database.has("one")
    assert "a1 committed a part of its work before it failed" in outcome.message


def test_a_commit_before_an_index_concurrently(project: Project, database: Database, gate: CommandLine) -> None:
    """The statement that the COMMIT is for gets the time that it takes, as in an autocommit block."""
    database.execute("CREATE TABLE accounts (id int)")
    project.add("a1", "op.execute('COMMIT'); op.execute('CREATE INDEX CONCURRENTLY accounts_id ON accounts (id)')")
    writer = database.connect("writer", autocommit=False)
    writer.execute("INSERT INTO accounts VALUES (1)")
    run = gate.start(project)
    database.until_waiting(seconds=0.5)
    writer.rollback()
    assert run.wait().expect(0).one("revision_applied")["tries"] == 1


def test_a_dry_run_of_env_py(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An env.py that would roll back at its end is not begun: every revision would stay."""
    env = f"""{ENGINE}
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction() as transaction:
        context.run_migrations()
        if "dry-run" in context.get_x_argument():
            transaction.rollback()
"""
    project = Project(tmp_path / "other", env)
    project.add("a1", "CREATE TABLE one (id int)")
    assert gate.run(project, "-x", "dry-run", "upgrade").expect(2).message == (
        "-x dry-run asks env.py to roll everything back at its end, and each revision is committed on its own: it would stay. "
        "Nothing was applied by this run. `sage-migrate upgrade --dry-run` prints the plan and its SQL, `sage-migrate trace` runs "
        "it on a scratch database."
    )
    gate.run(project).expect(0)


@NEEDS_COMMIT
@pytest.mark.parametrize("code", ["{}; op.get_bind().commit()", "op.get_bind().commit(); {}"])
def test_a_revision_that_commits_itself(code: str, project: Project, database: Database, gate: CommandLine) -> None:
    """Its version row is in a transaction that nobody else commits; bare Alembic rolls the last one back with exit 0."""
    project.add("a1", code.format("op.execute('CREATE TABLE one (id int)')"))
    project.add("b2", "CREATE TABLE two (id int)")
    project.add("c3", code.format("op.execute('CREATE TABLE three (id int)')"))
    outcome = gate.run(project).expect(0)
    assert [event["revision"] for event in outcome.named("revision_committed_itself")] == ["a1", "c3"]
    assert database.version() == ["c3"]
    assert database.has("three")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_errors_wrapped_in_the_projects_own(
    style: Style, tmp_path: Path, database: Database, gate: CommandLine
) -> None:
    """The SQLSTATE is found behind the project's own exception class, and a lock is retried."""
    env = style.env.replace("context.run_migrations()\n", "run_wrapped()\n").replace(
        "target_metadata = None",
        "class MigrationError(Exception): pass\n\ndef run_wrapped():\n    try:\n        context.run_migrations()\n"
        "    except Exception as error:\n        raise MigrationError('see above') from error\n\ntarget_metadata = None",
    )
    database.execute("CREATE TABLE accounts (id int)")
    project = Project(tmp_path / "other", env)
    project.add("a1", "ALTER TABLE accounts ADD x int")
    project.add("b2", "SELECT 1/0")
    reader = database.reader("accounts")
    assert (
        gate.start(project, url=database.url(style.driver)).wait_behind(reader).expect(40).failed["sqlstate"] == "22012"
    )
    assert database.version() == ["a1"]


def test_an_env_py_that_refuses_the_command_line(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """It fails, and nothing is left behind: no table, no lock, no session."""
    project = Project(tmp_path / "other", "raise SystemExit('start me from the service')")
    project.add("a1", "CREATE TABLE one (id int)")
    outcome = gate.run(project).expect(40)
    assert outcome.message.startswith("env.py raised SystemExit at env.py line 1: start me from the service. ")
    assert not database.has("alembic_version")
    database.until(
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'sage-migrate%' AND datname = current_database())"
    )


def test_a_revision_that_reflects_by_a_second_connection(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """With one transaction a revision it sees what the revision before made, as intended; bare Alembic's does not."""
    project.add("a1", "CREATE TABLE one (id int)")
    project.add("b2", """
        with op.get_bind().engine.connect() as second:
            if sa.inspect(second).has_table("one"):
                op.execute("CREATE TABLE seen (id int)")
        """)  # fmt: skip
    gate.run(project).expect(0)
    assert database.has("seen")


def test_a_second_database_in_a_revision(project: Project, database: Database, gate: CommandLine) -> None:
    """A revision may look at another database: neither the limits nor the check of the database touch it."""
    url = database.server.url(driver="psycopg2")
    project.add("a1", f"""
        with sa.create_engine({url!r}).connect() as other:
            assert other.execute(sa.text("SELECT current_database()")).scalar() == "postgres"
            assert other.execute(sa.text("SHOW statement_timeout")).scalar() == "0"
        """)  # fmt: skip
    gate.run(project).expect(0)


@NEEDS_COMMIT
def test_two_connections_configured_in_turn(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An env.py that configures twice (one schema after the other) is guarded on both connections."""
    env = f"""{ENGINE}
for schema in ("left", "right"):
    with engine.connect() as connection:
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{{schema}}"'))
        connection.execute(text(f'SET search_path = "{{schema}}"'))
        connection.commit()
        context.configure(connection=connection, version_table_schema=schema)
        with context.begin_transaction():
            context.run_migrations()
"""
    project = Project(tmp_path / "other", env)
    project.add("a1", "CREATE TABLE one AS SELECT current_setting('lock_timeout') AS seen")
    gate.run(project).expect(0)
    assert database.rows('SELECT seen FROM "left".one UNION ALL SELECT seen FROM "right".one') == [
        ("100ms",),
        ("100ms",),
    ]
    assert gate.run(project).expect(0).applied == []


@NEEDS_COMMIT
def test_one_connection_configured_in_turn(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """An env.py that goes over schemas on one connection is listened to once at a time."""
    env = f"""{ENGINE}
with engine.connect() as connection:
    for schema in ("left", "right"):
        connection.execute(text(f'CREATE SCHEMA "{{schema}}"'))
        connection.execute(text(f'SET search_path = "{{schema}}"'))
        connection.commit()
        context.configure(connection=connection, version_table_schema=schema)
        with context.begin_transaction():
            context.run_migrations()
"""
    project = Project(tmp_path / "other", env)
    project.add("a1", "SET lock_timeout = '5s'; CREATE TABLE one (id int)")
    assert len(gate.run(project).expect(0).named("timeout_set_by_revision")) == 2
    assert database.has('"left".one')
    assert database.has('"right".one')
