"""What the database libraries export, by the names under which projects reach them, and what their objects do."""
# ruff: noqa: SIM905  a list of words is read as one

from sage_migrate.lint.sessions.values import Kind

_OF_SQLALCHEMY: dict[str, Kind] = {
    "Engine": "Engine",
    "Connection": "Connection",
    "Session": "Session",
    "scoped_session": "scoped_session",
    "sessionmaker": "sessionmaker",
    "Query": "Query",
    "SessionTransaction": "Transaction",
    "AsyncEngine": "AsyncEngine",
    "AsyncConnection": "AsyncConnection",
    "AsyncSession": "AsyncSession",
    "async_scoped_session": "async_scoped_session",
    "async_sessionmaker": "async_sessionmaker",
    "AsyncResult": "AsyncResult",
    "AsyncScalarResult": "AsyncResult",
}
_OF_DRIVERS: dict[str, Kind] = {
    "psycopg2.extensions.connection": "DriverConnection",
    "psycopg2.extensions.cursor": "Cursor",
    "psycopg.Connection": "DriverConnection",
    "psycopg.Cursor": "Cursor",
    "psycopg_pool.ConnectionPool": "Pool",
    "psycopg2.pool.SimpleConnectionPool": "Pool",
    "psycopg2.pool.ThreadedConnectionPool": "Pool",
    "pg8000.Connection": "DriverConnection",
    "pg8000.dbapi.Connection": "DriverConnection",
    "pg8000.native.Connection": "DriverConnection",
    "sqlite3.Connection": "DriverConnection",
    "sqlite3.Cursor": "Cursor",
}
# Functions that connect; each returns a driver's connection.
CONNECTS = frozenset(
    (
        "psycopg2.connect",
        "psycopg.connect",
        "psycopg.Connection.connect",
        "pg8000.connect",
        "pg8000.dbapi.connect",
        "pg8000.native.Connection",
        "sqlite3.connect",
    )
)
# Functions of other libraries that talk to the database through the engine or connection that they are given.
_READS_THROUGH = frozenset(("read_sql", "read_sql_query", "read_sql_table", "to_sql", "inspect"))
SCHEMA_CALLS = frozenset(("create_all", "drop_all", "reflect"))
ALEMBIC_COMMANDS = frozenset(
    f"alembic.command.{name}" for name in ("upgrade", "downgrade", "stamp", "current", "check")
)

SYNCHRONOUS: frozenset[Kind] = frozenset(("Engine", "Connection", "Session", "scoped_session"))
ASYNC_SESSIONS: frozenset[Kind] = frozenset(("AsyncSession", "async_scoped_session", "AsyncConnection"))

_SESSION_WAITS = frozenset(
    "execute scalar scalars exec get get_one commit rollback flush refresh merge begin_nested connection close close_all"
    " bulk_save_objects bulk_insert_mappings bulk_update_mappings remove invalidate prepare".split()
)
WAITS: dict[Kind, frozenset[str]] = {
    "Session": _SESSION_WAITS,
    "scoped_session": _SESSION_WAITS,
    "Query": frozenset(
        "all first one one_or_none scalar scalar_one scalar_one_or_none count get delete update values".split()
    ),
    "Engine": frozenset("connect begin raw_connection execute scalar run_callable table_names has_table".split()),
    "Connection": frozenset(
        "execute scalar scalars exec_driver_sql begin begin_nested commit rollback close detach".split()
    ),
    "Transaction": frozenset(("commit", "rollback", "close")),
    "Pool": frozenset("getconn putconn connection connect open wait".split()),
    "DriverConnection": frozenset("execute executemany executescript commit rollback run begin transaction".split()),
    "Cursor": frozenset(
        "execute executemany executescript callproc copy_from copy_to copy_expert copy fetchone fetchmany fetchall stream".split()
    ),
}
"""Methods that do not return before the server has answered (or a connection is there)."""

AWAITED: dict[Kind, frozenset[str]] = {
    "AsyncSession": frozenset(
        "execute scalar scalars exec get get_one commit rollback flush refresh merge delete connection close stream"
        " stream_scalars run_sync invalidate reset aclose".split()
    ),
    "AsyncConnection": frozenset(
        "execute scalar scalars exec_driver_sql commit rollback close run_sync get_raw_connection start aclose".split()
    ),
    "AsyncEngine": frozenset(("dispose",)),
    "AsyncResult": frozenset(
        "all first one one_or_none scalar scalar_one scalar_one_or_none fetchone fetchmany fetchall close freeze".split()
    ),
}
"""Methods that return a coroutine."""
AWAITED["async_scoped_session"] = AWAITED["AsyncSession"] | {"remove"}

NOT_AWAITED: dict[Kind, frozenset[str]] = {
    "AsyncSession": frozenset("add add_all expunge expunge_all expire expire_all in_transaction is_modified".split()),
    "Result": frozenset(
        "all first one one_or_none scalar scalars scalar_one scalar_one_or_none fetchone fetchmany fetchall unique mappings"
        " tuples partitions".split()
    ),
}
"""Methods that return no coroutine: awaiting what they return raises TypeError."""
NOT_AWAITED["async_scoped_session"] = NOT_AWAITED["AsyncSession"]

EAGER_LOADERS = frozenset("selectinload joinedload subqueryload contains_eager immediateload".split())
EAGER_LAZY = frozenset(("selectin", "joined", "subquery", "immediate", "write_only", "dynamic", "noload", "raise"))


def kind_of(dotted: str) -> Kind | None:
    """Return what objects of a library's class are."""
    library, _, rest = dotted.partition(".")
    if library in ("sqlalchemy", "sqlmodel"):
        return _OF_SQLALCHEMY.get(rest.rpartition(".")[2])
    return _OF_DRIVERS.get(dotted)


def of_sqlalchemy(dotted: str) -> str:
    """Return the last part of a name of SQLAlchemy's or SQLModel's, else nothing."""
    library, _, rest = dotted.partition(".")
    return rest.rpartition(".")[2] if library in ("sqlalchemy", "sqlmodel") else ""


def reads_through(dotted: str) -> bool:
    """Tell whether a function talks to the database through the engine or connection that it is given."""
    return dotted.rpartition(".")[2] in _READS_THROUGH
