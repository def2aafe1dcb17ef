"""Trace the linter's labelled revisions, each on a copy of the shop's database, while its old release's statements go on."""

import contextlib
import copy
import dataclasses
import io
import sys
import types
from pathlib import Path

import psycopg
import sqlalchemy
from harness import env_files
from labelled_revisions import CORPUS, LabelledRevision
from sage_migrate.database_url import parse_database_url
from sage_migrate.project import load_project, offer_url
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.settings import Settings
from sage_migrate.trace.environment import Environment
from sage_migrate.trace.flow import lead_to
from sage_migrate.trace.old_code.checking import Spoken
from sage_migrate.trace.old_code.from_file import read_file
from sage_migrate.trace.pending import find_range
from sage_migrate.trace.results import RevisionTrace
from sage_migrate.trace.scratch_database import scratch_database
from sage_migrate.trace.tracing import Tracing, start, trace_revisions

_INI = "[alembic]\nscript_location = %(here)s/migrations\nsqlalchemy.url = postgresql+psycopg://nobody/nothing\n"
_START = 'revision = "start"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n'


class Corpus:
    """A project whose history begins with the shop's schema, and a database to copy."""

    def __init__(self, server: ScratchServer, directory: Path) -> None:
        """Make both; a template of the same name is another worker's and is as good."""
        self._server, self._versions = server, directory / "migrations" / "versions"
        self._template = "traced_corpus"
        self._versions.mkdir(parents=True)
        (directory / "alembic.ini").write_text(_INI)
        (directory / "migrations" / "env.py").write_text(env_files.SYNC)
        (self._versions / "start.py").write_text(_START)
        self._settings = Settings(config_file=directory / "alembic.ini")
        statements, left_out = read_file(CORPUS / "old_code.sql")
        assert not left_out
        self._spoken = Spoken(statements=statements)
        self._base: Tracing | None = None
        self._make_template()

    def _make_template(self) -> None:
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self._template}".encode())
        with psycopg.connect(self._server.url(self._template), autocommit=True) as connection:
            for file in ("schema.sql", "rows.sql"):
                connection.execute((CORPUS / file).read_bytes())
            connection.execute(b"CREATE TABLE alembic_version (version_num varchar(128) PRIMARY KEY)")
            connection.execute(b"INSERT INTO alembic_version VALUES ('start')")
            connection.execute(b"ANALYZE")

    def trace(self, case: LabelledRevision) -> RevisionTrace:
        """Trace one revision."""
        file = self._versions / f"{case.name}.py"
        file.write_text(case.source.replace('down_revision = "base"', 'down_revision = "start"'))
        _offer_sqlmodel()
        url = parse_database_url(self._server.url(user="postgres:scratch"))
        try:
            with scratch_database(url, template=self._template) as database, contextlib.redirect_stderr(io.StringIO()):
                settings = dataclasses.replace(self._settings, database_url=database.url)
                project = load_project(settings)
                lead_to(database.url, {})
                offer_url(settings, project)
                environment = Environment(project, database)
                range_ = find_range(project, f"start:{case.name}")
                if self._base is None:
                    self._base = start(project, database, range_, environment, seconds=60)
                    self._spoken.learn(database.session)
                    assert all(answer.executed and answer.touched for answer in self._spoken.answers.values())
                # A copy of a database has the same OIDs: what was read of the first is true of all.
                tracing = dataclasses.replace(
                    self._base,
                    project=project,
                    database=database,
                    range=range_,
                    environment=environment,
                    schema=copy.deepcopy(self._base.schema),
                    relations=copy.deepcopy(self._base.relations),
                    new_tables=set(),
                    before={},
                    after={},
                )
                spoken = self._spoken
                (found,) = trace_revisions(tracing, lambda changed: list(spoken.broken(database.session, changed)))
        finally:
            file.unlink()
        return found


def _offer_sqlmodel() -> None:
    """Let revisions import what SQLModel's projects import."""
    sqlmodel = types.ModuleType("sqlmodel")
    sqlmodel.sql = types.SimpleNamespace(sqltypes=types.SimpleNamespace(AutoString=sqlalchemy.String))  # type: ignore[attr-defined]
    sys.modules.setdefault("sqlmodel", sqlmodel)
