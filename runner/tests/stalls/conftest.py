"""Fixtures of the tests about stalls: a table that the application uses, and servers that may be ill-treated."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from harness.postgres import Database
from sage_migrate.scratch_server import ScratchServer

ServerFactory = Callable[..., ScratchServer]


@pytest.fixture
def accounts(database: Database) -> Database:
    """Return a database that holds the table ``accounts`` with some rows."""
    database.execute("CREATE TABLE accounts (id int PRIMARY KEY, name text); "
                     "INSERT INTO accounts SELECT n, 'name ' || n FROM generate_series(1, 300) AS n; ANALYZE accounts")  # fmt: skip
    return database


@pytest.fixture
def own_server() -> Iterator[ServerFactory]:
    """Offer a server of the test's own, with settings, stopped at its end."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(ScratchServer(settings=settings))
