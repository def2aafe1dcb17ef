"""Fixtures of the tests about stalls."""

import pytest
from harness.postgres import Database


@pytest.fixture
def accounts(database: Database) -> Database:
    """Return a database that holds the table ``accounts`` with some rows, and the one of `stalls.until_told`."""
    database.execute(
        "CREATE TABLE told (id int); CREATE TABLE accounts (id int PRIMARY KEY, name text);"
        " INSERT INTO accounts SELECT n, 'name ' || n FROM generate_series(1, 300) AS n; ANALYZE accounts"
    )
    return database
