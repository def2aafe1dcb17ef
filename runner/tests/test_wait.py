"""Waiting for a database that is not there yet."""

import psycopg
import pytest
from harness.command import CommandLine
from harness.env_files import STYLES, Style
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("who_knows", ["the runner", "env.py"])
def test_goes_on_when_the_server_comes_up(
    who_knows: str, style: Style, server: ScratchServer, project: Project, gate: CommandLine
) -> None:
    """The runner waits, says so, and then migrates; also where only env.py knows the URL."""
    project.write("migrations/env.py", style.env)
    project.add("a1", "CREATE TABLE one (id int)")
    with ScratchServer(server.bin_directory) as late:
        late.stop()
        url = late.url(driver=style.driver)
        if who_knows == "env.py":
            project.write("alembic.ini", f"[alembic]\nscript_location = migrations\nsqlalchemy.url = {url}\n")
        run = gate.start(project, url=url if who_knows == "the runner" else None)
        run.until("database_awaited")
        late.start()
        assert run.wait().expect(0).applied == ["a1"]


def test_a_server_that_is_full(server: ScratchServer, project: Project, gate: CommandLine) -> None:
    """Too many connections is a state that passes."""
    limits = {"max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    with ScratchServer(server.bin_directory, settings=limits) as full:
        clients = [psycopg.connect(full.url()) for _ in range(4)]
        run = gate.start(project, "wait", url=full.url())
        assert run.until("database_awaited")["reason"] == "sorry, too many clients already"
        for client in clients:
            client.close()
        run.wait().expect(0)
