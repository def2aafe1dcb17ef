"""Readiness: the schema must be at what this code needs, or known ahead of it."""

import shutil
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import asyncpg
import httpx
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import URL

from app.main import app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(empty_database: URL) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of an application that was started on a database without tables."""
    assert empty_database.database
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def migrate(config: Config, revision: str) -> None:
    """Migrate the database, in a thread because Alembic's env.py starts an event loop of its own."""
    await anyio.to_thread.run_sync(partial(command.upgrade, config, revision))


async def test_a_pod_is_ready_once_its_schema_is_there(client: httpx.AsyncClient, alembic_config: Config) -> None:
    """Not before, not one revision earlier; it migrates nothing itself."""
    head = ScriptDirectory.from_config(alembic_config).get_revision("head")
    assert head
    for revision in ("base", str(head.down_revision or "base")):
        await migrate(alembic_config, revision)
        response = await client.get("/readyz")
        assert (response.status_code, response.json()["status"]) == (
            httpx.codes.SERVICE_UNAVAILABLE,
            "unready",
        )
        assert response.json()["reason"]
        assert (await client.get("/healthz")).status_code == httpx.codes.OK
    await migrate(alembic_config, "head")
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (httpx.codes.OK, {"status": "ready", "reason": None})


async def test_a_revision_that_nobody_has_recorded_is_not_ready(
    client: httpx.AsyncClient, alembic_config: Config, empty_database: URL
) -> None:
    """It may be of another history altogether."""
    await migrate(alembic_config, "head")
    connection = await asyncpg.connect(empty_database.render_as_string(hide_password=False))
    await connection.execute("UPDATE alembic_version SET version_num = 'elsewhere'")
    await connection.close()
    response = await client.get("/readyz")
    assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "elsewhere" in response.json()["reason"]


async def test_a_database_that_is_known_ahead_is_ready(
    client: httpx.AsyncClient, alembic_config: Config, tmp_path: Path
) -> None:
    """As after a rollback of the release: the next one's gate has migrated, and recorded what came before."""
    here = Path(str(alembic_config.config_file_name)).parent
    shutil.copytree(here, tmp_path / "next", ignore=shutil.ignore_patterns("tests"))
    following = Config(tmp_path / "next" / "alembic.ini")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        script = command.revision(following, "the next release")
    assert isinstance(script, Script)
    gate = await anyio.run_process(
        [sys.executable, "-m", "sage_migrate", "-c", str(following.config_file_name), "upgrade"], check=False
    )
    assert gate.returncode == 0, gate.stdout.decode()
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (httpx.codes.OK, {"status": "ready", "reason": None})


async def test_the_gate_drives_the_migrations(client: httpx.AsyncClient, alembic_config: Config) -> None:
    """What the hook of the chart runs makes a pod ready."""
    gate = await anyio.run_process(
        [sys.executable, "-m", "sage_migrate", "-c", str(alembic_config.config_file_name), "upgrade"],
        check=False,
    )
    assert gate.returncode == 0, gate.stdout.decode()
    assert (await client.get("/readyz")).status_code == httpx.codes.OK
