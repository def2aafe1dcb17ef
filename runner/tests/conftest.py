"""Fixtures: a real server, a database and a project for each test, and the real command line."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sage_migrate.logs import log
from sage_migrate.scratch_server import ScratchServer

sys.path.insert(0, str(Path(__file__).parent))  # for `harness`: the import mode leaves it out

from harness.command import CommandLine, Launcher
from harness.machine import Machine
from harness.postgres import Database
from harness.project import Project

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def events_go_on() -> Iterator[None]:
    """Take our events off a test's captured stdout, which a command that was run in this process had put them on."""
    yield
    log.configure(sys.__stdout__, as_json=True)


@pytest.fixture(scope="session")
def server() -> Iterator[ScratchServer]:
    """Run PostgreSQL: the embedded one, or that of SAGE_TEST_PG_BIN."""
    chosen = os.environ.get("SAGE_TEST_PG_BIN")
    with ScratchServer(Path(chosen) if chosen else None, settings={"max_prepared_transactions": "5"}) as running:
        yield running


@pytest.fixture
def database(server: ScratchServer) -> Iterator[Database]:
    """Make an empty database."""
    database = Database(server, f"test_{next(_numbers)}")
    yield database
    database.drop()


@pytest.fixture
def machine(database: Database) -> Iterator[Machine]:
    """Tell what the machine adds to the times that this test measures."""
    with Machine(database.server.url(database.name)) as watching:
        yield watching


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make a project with the stock synchronous env.py and no revision."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Start the process that forks for each run."""
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def gate(launcher: Launcher, database: Database, tmp_path: Path) -> Iterator[CommandLine]:
    """Offer the command line, with this test's database and nothing else in its environment."""
    gate = CommandLine(launcher, database.url(), tmp_path)
    yield gate
    gate.kill()
