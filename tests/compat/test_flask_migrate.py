"""A project that Flask-Migrate itself writes: `sage-migrate upgrade` stands where `flask db upgrade` stood."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sage_migrate.scratch_server import ScratchServer

from tests.compat.environment import Environment, Project, provide

_APP = """
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["URL"]
    db.init_app(app)
    Migrate(app, db)
    return app
"""


@pytest.fixture(scope="module")
def environment() -> Environment:
    """Install Flask-Migrate and the gate."""
    return provide(Project(name="flask", requirements=(), environment={}))


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    """Run PostgreSQL."""
    with ScratchServer() as running:
        yield running


@pytest.mark.parametrize("module", ["notes", "app"])
def test_it_needs_no_more_than_flask(
    module: str, environment: Environment, server: ScratchServer, tmp_path: Path
) -> None:
    """The application is found by FLASK_APP, or as Flask itself finds it; configuration and history where they are."""
    (tmp_path / f"{module}.py").write_text(_APP)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {module}".encode())
    variables = {"PATH": os.environ["PATH"], "URL": server.url(module, driver="psycopg2")}
    if module != "app":
        variables["FLASK_APP"] = f"{module}:create_app"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        line = [str(environment.python.parent / command[0]), *command[1:]]
        return subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    for command in ("init", "migrate"):
        done = run("flask", "db", command)
        assert done.returncode == 0, done.stderr
    for command in ("upgrade", "upgrade", "status"):
        done = run("sage-migrate", command)
        assert done.returncode == 0, done.stdout + done.stderr
    with psycopg.connect(server.url(module)) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (0,)
    done = run("sage-migrate", "doctor", "--format", "json")
    assert '"check": "env-fails"' not in done.stdout, done.stdout
    if module != "app":
        del variables["FLASK_APP"]
        done = run("sage-migrate", "upgrade")
        assert done.returncode == 2
        assert "Set FLASK_APP as for `flask db upgrade`" in done.stdout
