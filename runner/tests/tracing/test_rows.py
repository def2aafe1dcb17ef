"""The rows that a scratch database gets: from the schema alone, and like production's."""

import json
from collections.abc import Callable, Iterator

import asyncpg
import pytest
from harness.command import CommandLine, Outcome
from harness.postgres import Database
from harness.project import Project
from sage_migrate.database_url import parse_database_url
from sage_migrate.session import ControlThread
from sage_migrate.stats.sizes import ColumnShape, Sizes, TableSize
from sage_migrate.trace.rows import fill
from sage_migrate.trace.scratch_database import ScratchSession
from sage_migrate.trace.values import Values

_SCHEMA = """
CREATE TABLE countries (code char(2) PRIMARY KEY);
INSERT INTO countries VALUES ('DE'), ('FR');
CREATE TABLE plans (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE users (id serial PRIMARY KEY, plan_id int NOT NULL REFERENCES plans, country char(2) REFERENCES countries,
  email varchar(255) NOT NULL UNIQUE, bio text, status varchar(200), settings jsonb, gone_at timestamptz);
CREATE TABLE profiles (user_id int PRIMARY KEY REFERENCES users);
CREATE TABLE favourites (plan_id int REFERENCES plans, country char(2) REFERENCES countries, PRIMARY KEY (plan_id, country));
"""


@pytest.fixture
def session(database: Database) -> Iterator[ScratchSession]:
    """Connect as a trace does, with a schema that refers to rows of its history's own."""
    database.execute(_SCHEMA)
    with ControlThread() as control:
        connection = control.call(_connect(database.url()))
        session = ScratchSession(control, connection)
        yield session
        session.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(**parse_database_url(url).asyncpg_arguments())


def _size(name: str, rows: int, **columns: tuple[float, int, float]) -> TableSize:
    shapes = {
        column: ColumnShape(null_frac=null_frac, avg_width=width, n_distinct=distinct)
        for column, (null_frac, width, distinct) in columns.items()
    }
    return TableSize(
        schema="public", name=name, rows=rows, table_bytes=0, index_bytes=0, writes_per_second=None, columns=shapes
    )


def test_rows_fit_what_the_history_left(session: ScratchSession) -> None:
    """A table that refers to rows which a revision inserted gets rows too, and where only so many fit, so many."""
    assert fill(session, Values(session), 50) == []
    counts = {
        name: session.value(f"SELECT count(*) FROM {name}")
        for name in ("countries", "plans", "users", "profiles", "favourites")
    }
    assert counts == {"countries": 2, "plans": 50, "users": 40, "profiles": 30, "favourites": 40}
    assert session.value("SELECT count(DISTINCT country) FROM users") == 2


def test_rows_are_like_productions(session: ScratchSession) -> None:
    """Counts, NULLs, widths and different values are production's, and one row is as wide as its type allows."""
    sizes = Sizes(
        [
            _size("plans", 6),
            _size(
                "users", 1_000_000, email=(0, 20, -1), bio=(0.25, 300, -0.5), status=(0, 8, 3), settings=(0, 120, -1), gone_at=(1, 8, 0)
            ),
            _size("profiles", 900_000),
        ]
    )  # fmt: skip
    values = Values(session)
    assert fill(session, values, 100, sizes) == []
    (row,) = session.rows(
        """
        SELECT count(*) AS rows, count(DISTINCT plan_id) AS plans, count(bio) AS bios, count(DISTINCT bio) AS different,
            count(gone_at) AS gone, max(length(status)) AS widest, count(DISTINCT status) AS states,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY length(status)) AS usual,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY length(bio)) AS bio,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY pg_column_size(settings)) AS settings
        FROM users
        """
    )
    told = dict(row)
    settings = told.pop("settings")
    assert told == {
        "rows": 100, "plans": 6, "bios": 75, "different": 51, "gone": 0, "widest": 200, "usual": 7, "states": 5, "bio": 299,
    }  # fmt: skip
    assert 100 <= settings <= 140
    assert session.value("SELECT count(*) FROM profiles") == 99, "one is left for old code to insert"


def test_statistics_of_production_tell_whether_a_column_is_ever_null(
    trace: Callable[..., Outcome], gate: CommandLine, shop: Project, database: Database
) -> None:
    """What fails on rows that are made up runs on production's: `stats` tells that nothing there is NULL."""
    shop.add("b2", "ALTER TABLE orders ALTER total SET NOT NULL")
    database.execute(
        "CREATE TABLE orders (id serial PRIMARY KEY, status text NOT NULL, total int);"
        "INSERT INTO orders (status, total) SELECT 'secret', n FROM generate_series(1, 1000) AS n; ANALYZE orders"
    )
    gate.run(shop, "stats", "--output", "stats.json").expect(0)
    written = (shop.directory / "stats.json").read_text()
    assert "secret" not in written
    assert {"name": "total", "null_frac": 0, "avg_width": 4, "n_distinct": -1} in json.loads(written)["tables"][0][
        "columns"
    ]
    assert 'column "total" of relation "orders" contains null values' in trace("a1:").expect(1).stdout
    (revision,) = json.loads(trace("a1:", "--stats", "stats.json", "--format", "json").expect(1).stdout)["revisions"]
    assert revision["problem"] == ""
    assert [hazard["code"] for hazard in revision["hazards"]] == ["SM105"]
