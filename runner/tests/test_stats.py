"""`sage-migrate stats`: what it writes of a real database, that it changes nothing, and what lint makes of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.errors import UsageError
from sage_migrate.stats.sizes import read_sizes

_SCHEMA = """
CREATE TABLE orders (id bigint PRIMARY KEY, note text);
INSERT INTO orders SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g;
CREATE TABLE events (id bigint, day int) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (20);
INSERT INTO events SELECT g, g % 20 FROM generate_series(1, 100) g;
CREATE SCHEMA archive;
CREATE MATERIALIZED VIEW archive.totals AS SELECT count(*) FROM orders;
CREATE UNLOGGED TABLE archive.orders (id bigint);
ANALYZE orders, events;
"""


def _tables(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{table['schema']}.{table['name']}": table for table in content["tables"]}


def test_sizes_of_a_real_database(project: Project, database: Database, gate: CommandLine) -> None:
    """Tables, partitions with their parent's sum, materialized views; estimates only of what was analyzed."""
    database.execute(_SCHEMA)
    content = json.loads(gate.run(project, "stats").expect(0).stdout)
    assert content["format"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", content["made_at"])
    assert content["writes_counted_seconds"] >= 0
    tables = _tables(content)
    assert {name: (table["kind"], table["rows"]) for name, table in tables.items()} == {
        "archive.orders": ("table", None),
        "archive.totals": ("materialized view", None),
        "public.events": ("partitioned table", 100),
        "public.events_1": ("partition", 50),
        "public.events_2": ("partition", 50),
        "public.orders": ("table", 1000),
    }
    assert tables["public.events"]["table_bytes"] == sum(tables[f"public.events_{n}"]["table_bytes"] for n in (1, 2))
    assert tables["public.orders"]["table_bytes"] > 100_000
    assert tables["public.orders"]["index_bytes"] > 10_000
    assert tables["public.orders"]["columns"] == [
        {"name": "id", "null_frac": 0, "avg_width": 8, "n_distinct": -1},
        {"name": "note", "null_frac": 0, "avg_width": 101, "n_distinct": 1},
    ]
    assert [column["name"] for column in tables["public.events"]["columns"]] == ["day", "id"]
    assert tables["archive.orders"]["columns"] == []
    assert sorted(tables["public.orders"]) == [
        "columns",
        "index_bytes",
        "kind",
        "name",
        "rows",
        "schema",
        "table_bytes",
        "writes_per_second",
    ]


def test_file_is_read_again(project: Project, database: Database, gate: CommandLine, tmp_path: Path) -> None:
    """`--output` writes what lint and trace read; a bare name that two schemas have means the bigger table."""
    database.execute(_SCHEMA)
    gate.run(project, "stats", "--output", str(tmp_path / "stats.json")).expect(0)
    sizes = read_sizes(tmp_path / "stats.json")
    orders = sizes.find("orders")
    assert orders is not None
    assert (orders.schema, orders.rows, orders.is_small) == ("public", 1000, True)
    assert re.fullmatch(
        r"orders in production: about 1,000 rows, \d+ kB with indexes, [\d.,]+ rows written a second", str(orders)
    )
    assert sizes.find("nowhere") is None
    assert sizes.find("archive.orders") != orders


def test_locked_table_is_not_waited_for(project: Project, database: Database, gate: CommandLine) -> None:
    """While somebody holds ACCESS EXCLUSIVE the command gives up soon and says so, rather than queue."""
    database.execute(_SCHEMA)
    locker = database.connect("locker", autocommit=False)
    locker.execute("LOCK TABLE orders")
    assert (
        gate.run(project, "stats")
        .expect(31)
        .stderr.count("A table is locked in ACCESS EXCLUSIVE mode: its size cannot be read, and nothing was written.")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "stats.json is no file of sage-migrate stats. Make it with sage-migrate stats --output FILE."),
        (
            '{"format": 2}',
            "stats.json has format 2; this sage-migrate reads format 1. Make it anew with sage-migrate stats.",
        ),
        (None, "stats.json cannot be read: No such file or directory."),
    ],
)
def test_other_files_are_refused(
    content: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is none of ours, or of another format, is not taken for an empty one."""
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("stats.json").write_text(content)
    with pytest.raises(UsageError) as raised:
        read_sizes(Path("stats.json"))
    assert str(raised.value) == message
