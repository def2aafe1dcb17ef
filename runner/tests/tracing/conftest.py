"""Fixtures: the command line on the tests' own server, and a shop's project to trace."""

from collections.abc import Callable

import pytest
from harness.command import CommandLine, Outcome
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

Trace = Callable[..., Outcome]


@pytest.fixture
def trace(gate: CommandLine, project: Project, server: ScratchServer) -> Trace:
    """Offer to trace the project on the tests' server, without a cache."""

    def run(*arguments: str, url: str | None = None, **environment: str) -> Outcome:
        scratch = ("--scratch-url", server.url(), "--cache", "", "--rows", "30")
        return gate.run(project, "trace", *scratch, *arguments, url=url, **environment)

    return run


@pytest.fixture
def shop(project: Project) -> Project:
    """Make a project whose first revision makes a table."""
    project.add("a1", "CREATE TABLE orders (id serial PRIMARY KEY, status text NOT NULL, total int)")
    return project
