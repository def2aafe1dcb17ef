"""The migrations: forth and back, in every way in which they are run, on rows that exist."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL

# Everything that a revision of ours could change, as PostgreSQL itself writes it.
SCHEMA = """
SELECT 'column', table_name, concat_ws(' ', column_name, data_type, character_maximum_length, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL
SELECT 'index', tablename, indexdef || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END
FROM pg_indexes JOIN pg_index ON indexrelid = format('%I.%I', schemaname, indexname)::regclass
WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
ORDER BY 1, 2, 3
"""

Execute = Callable[..., list[asyncpg.Record]]


def schema_of(execute: Execute, database: URL) -> list[tuple[str, ...]]:
    """Return what the schema consists of."""
    return [tuple(row) for row in execute(database, SCHEMA)]


def test_there_is_one_head(alembic_config: Config) -> None:
    """Two would mean that a merge was forgotten."""
    assert len(ScriptDirectory.from_config(alembic_config).get_heads()) == 1


@pytest.mark.usefixtures("database")
def test_autogenerate_finds_nothing(alembic_config: Config) -> None:
    """The models say what the migrations made, and `alembic check` passes."""
    command.check(alembic_config)


def test_each_revision_can_be_taken_back(alembic_config: Config, empty_database: URL, execute: Execute) -> None:
    """Downgrading leads to the schema from before the revision, and upgrading again to the one after it."""
    command.upgrade(alembic_config, "base")
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic_config).walk_revisions()]
    before: list[tuple[str, ...]] = []
    for revision in reversed(revisions):
        command.upgrade(alembic_config, revision)
        after = schema_of(execute, empty_database)
        assert after != before
        command.downgrade(alembic_config, "-1")
        assert schema_of(execute, empty_database) == before
        command.upgrade(alembic_config, revision)
        assert schema_of(execute, empty_database) == after
        before = after


def test_offline_sql_makes_the_same_schema(
    alembic_config: Config,
    empty_database: URL,
    database: URL,
    execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`alembic upgrade head --sql` needs no database, and what it prints can be run by a person."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("PGHOST", raising=False)
    alembic_config.output_buffer = io.StringIO()
    command.upgrade(alembic_config, "head", sql=True)
    statements = alembic_config.output_buffer.getvalue().split(";\n")
    execute(empty_database, *statements)
    assert schema_of(execute, empty_database) == schema_of(execute, database)
    assert execute(empty_database, "TABLE alembic_version") == execute(database, "TABLE alembic_version")


def test_bare_alembic_works_from_anywhere(
    empty_database: URL, database: URL, execute: Execute, alembic_config: Config, tmp_path: Path
) -> None:
    """With the command line, libpq's variables and another working directory."""
    url = empty_database
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
        "PGHOST": str(url.query.get("host", url.host)),
        "PGPORT": str(url.port or 5432),
        "PGUSER": str(url.username),
        "PGPASSWORD": url.password or "",
        "PGDATABASE": str(url.database),
    }
    run = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(alembic_config.config_file_name), "upgrade", "head"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Create organizations and conversations" in run.stderr
    assert schema_of(execute, empty_database) == schema_of(execute, database)
