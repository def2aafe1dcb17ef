"""A server that has no place left for another connection."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from harness import env_files
from harness.command import CommandLine
from harness.postgres import Database
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

from stalls.servers import own_server

STYLES = [
    ("psycopg2", env_files.SYNC),
    ("psycopg", env_files.SYNC),
    ("asyncpg", env_files.ASYNC),
    ("psycopg", env_files.ASYNC),
]
TOO_MANY = "sorry, too many clients already"


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    """Run a server with few places."""
    with own_server(max_connections="12", superuser_reserved_connections="1") as running:
        yield running


@pytest.fixture
def crowd(database: Database) -> Iterator[contextlib.ExitStack]:
    """Take every place until closed."""
    with contextlib.ExitStack() as places:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                places.enter_context(contextlib.closing(psycopg.connect(database.server.url(database.name))))
        yield places


def leave_free(
    crowd: contextlib.ExitStack, database: Database, count: int
) -> list[psycopg.Connection[tuple[object, ...]]]:
    """Let go of the crowd, and fill all places but ``count``."""
    crowd.close()
    database.until("(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') = 1")
    return [
        crowd.enter_context(contextlib.closing(psycopg.connect(database.server.url(database.name))))
        for _ in range(12 - 1 - count)
    ]


def test_a_place_is_awaited(
    project: Project, database: Database, gate: CommandLine, crowd: contextlib.ExitStack
) -> None:
    """The run waits for a place, saying why, and goes on when there is one."""
    project.add("a1")
    run = gate.start(project)
    assert run.until("database_awaited")["reason"] == TOO_MANY
    crowd.close()
    assert run.wait().expect(0).applied == ["a1"]


def test_no_place_in_time(project: Project, database: Database, gate: CommandLine, crowd: contextlib.ExitStack) -> None:
    """Its own status, and nothing was done."""
    project.add("a1")
    outcome = gate.run(project, "upgrade", "--wait-timeout", "2s").expect(10)
    assert outcome.message.startswith(
        f"The database could not be reached within 2 s: {TOO_MANY}. Nothing was applied by this run. "
    )
    crowd.close()
    gate.run(project).expect(0)


@pytest.mark.parametrize(("driver", "env"), STYLES)
def test_no_place_for_env_py(  # noqa: PLR0913, PLR0917  parameters and fixtures
    driver: str, env: str, project: Project, database: Database, gate: CommandLine, crowd: contextlib.ExitStack
) -> None:
    """The runner's two sessions took the last places: env.py's connection is awaited as well."""
    others = leave_free(crowd, database, 2)
    project.write("migrations/env.py", env)
    project.add("a1")
    run = gate.start(project, url=database.url(driver))
    run.until("runner_lock_taken")
    assert "too many clients" in run.until("database_awaited")["reason"]
    others[0].close()
    assert run.wait().expect(0).applied == ["a1"]
