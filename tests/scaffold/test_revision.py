"""`sage-migrate revision`: what the models say and the database does not, with all that a review of it needs."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from harness import env_files
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer

MODELS = """
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None] = mapped_column(String(200))
"""
AUTHOR = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org")
_numbers = itertools.count()
CREATE = (
    'op.create_table("orders", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("title", sa.String(200)))'
)
AT_HEAD = """
CREATE TABLE orders (id serial PRIMARY KEY, title varchar(200));
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version VALUES ('first');
"""
MAKO = """
\"\"\"${message}.\"\"\"
import sqlalchemy as sa
from alembic import op
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
def upgrade():
    ${upgrades}
def downgrade():
    ${downgrades}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    """Run PostgreSQL; the tests follow each other in one database of it."""
    with ScratchServer() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, server: ScratchServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Give a project whose models and migrations agree, and a database of it at head."""
    name = f"revision_{next(_numbers)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(server.url(name)) as connection:
        connection.execute(AT_HEAD)
    monkeypatch.setenv("DATABASE_URL", server.url(name, driver="psycopg"))
    env = env_files.SYNC.replace(
        "target_metadata = None", "from models import Base\ntarget_metadata = Base.metadata", 1
    )
    project = Project(tmp_path / "project", env=env)
    project.write("models.py", MODELS)
    project.write("migrations/script.py.mako", MAKO)
    project.add("first", CREATE)
    return project


def run(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the project's directory."""
    command = (sys.executable, "-m", "sage_migrate", *words)
    return subprocess.run(command, cwd=project.directory, check=False, capture_output=True, text=True)


def refused(project: Project, *words: str) -> str:
    """Return the message with which the command is refused."""
    done = run(project, "revision", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    return str(json.loads(done.stderr.splitlines()[-1])["message"])


def revisions(project: Project) -> list[Path]:
    """Return the revisions beside the first one."""
    return [path for path in (project.migrations / "versions").glob("*.py") if path.stem != "first"]


def test_where_nothing_differs_nothing_is_written(project: Project) -> None:
    """An empty revision would only be noise in a history."""
    done = run(project, "revision", "-m", "Nothing")
    assert (done.returncode, done.stdout) == (0, "The models and the database agree: nothing was written.\n")
    assert revisions(project) == []


def test_a_revision_is_linted_and_traced(project: Project) -> None:
    """What both say is printed with it, and stands in the review that is begun in a cycle doc."""
    for words in (("init", "--quiet"), ("add", "."), (*AUTHOR, "commit", "--quiet", "--message=Begin")):
        subprocess.run(("git", *words), cwd=project.directory, check=True)
    project.write("models.py", MODELS.replace("(String(200))", "(String(200), index=True)"))
    done = run(project, "revision", "-m", "Index titles")
    assert done.returncode == 1, done.stdout + done.stderr
    (written,) = revisions(project)
    assert "op.create_index" in written.read_text()
    lines = done.stdout.splitlines()
    shown = os.path.relpath(written, project.directory)
    assert f"{shown}: written." in lines
    for begin in (f"{shown}:7: error SM141: ", f"{shown}:8: error SM101: ", "trace: SM101: "):
        assert any(line.startswith(begin) for line in lines), done.stdout
    (document,) = (project.directory / "docs" / "cycles").glob("*-index-titles.md")
    entry = document.read_text().splitlines()
    assert f"### `{written.stem.partition('_')[0]}` Index titles" in entry
    for known in ("locks:   SHARE on orders", "hazards: blocks_writes_long (SM101)", "- [ ] Reviewer:"):
        assert known in entry
    assert any(line.startswith("trace:   SHARE on orders for ") for line in entry), "what the trace saw is there too"


def test_a_revision_that_destroys_data_is_not_written(project: Project) -> None:
    """A column that the models do not know may be one that somebody else needs."""
    project.write("models.py", MODELS.replace("    title: Mapped[str | None] = mapped_column(String(200))\n", ""))
    assert refused(project, "-m", "Drop titles") == (
        "The revision would destroy data, and was not written: The release that still serves names orders.title: its "
        "statements fail once it is dropped, and its values are gone. Nothing was applied by this run. Correct the models; "
        "or say why nobody needs the data: --allow-data-loss 'REASON'."
    )
    assert revisions(project) == []
    assert refused(project, "-m", "Drop titles", "--allow-data-loss", " ") == (
        "--allow-data-loss has no reason. Nothing was applied by this run. "
        "Write why nobody needs the data, in one line."
    )
    done = run(project, "revision", "-m", "Drop titles", "--allow-data-loss", "nobody wrote one", "--no-trace")
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = revisions(project)
    comment = "    # sage-migrate: ignore SM112 -- nobody wrote one\n    op.drop_column('orders', 'title')\n"
    assert comment in written.read_text()


def test_a_database_that_is_behind_is_refused(project: Project) -> None:
    """The difference would hold what other revisions do already."""
    project.add("second", "SELECT 1")
    assert refused(project, "-m", "Something") == (
        "Alembic refused: Target database is not up to date. Nothing was applied by this run. "
        "It compares with a database at head: sage-migrate upgrade."
    )


def test_without_a_database_it_says_where_one_is_to_be_had(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows no password of the one that was tried."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/nothing")
    message = refused(project, "-m", "Something")
    assert message.startswith("The models could not be compared with the database: OperationalError: ")
    assert message.endswith(
        "Name a database at head, as in DATABASE_URL; `python -m sage_migrate.scratch_server COMMAND` runs a command on "
        "a new one."
    )
    assert "hidden" not in message
