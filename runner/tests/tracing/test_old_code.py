"""What the release that still serves survives: changes of its schema, each with what becomes of old code."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import sqlalchemy
from harness.postgres import Database
from sage_migrate.database_url import parse_database_url
from sage_migrate.session import ControlThread
from sage_migrate.trace.description import Description, changed_relations, describe_schema, read_counters, set_back
from sage_migrate.trace.old_code.checking import Spoken
from sage_migrate.trace.old_code.defaults import read_defaults
from sage_migrate.trace.old_code.from_models import tables_of_models
from sage_migrate.trace.old_code.from_tables import statements_of
from sage_migrate.trace.old_code.learning import Code
from sage_migrate.trace.old_code.mapped import describe
from sage_migrate.trace.results import Breakage
from sage_migrate.trace.rows import fill
from sage_migrate.trace.scratch_database import ScratchSession
from sage_migrate.trace.values import Values

from tracing.old_models import Base

_FALSE_ALARMS = 2


class Shop:
    """The old release's schema, with rows, and its models as statements."""

    def __init__(self, session: ScratchSession) -> None:
        """Read everything once."""
        self.session = session
        values = Values(session)
        assert fill(session, values, 60) == []
        tables = tables_of_models(describe(Base.metadata))
        spoken = Spoken(statements=list(statements_of(tables, values)))
        spoken.learn(session)
        self.silent = [each.sql for each, answer in spoken.answers.items() if not answer.executed and not each.only]
        self.code = Code(spoken=spoken, tables=tables, defaults=read_defaults(session), source="the tests' models")
        self.before: Description = describe_schema(session, "alembic_version")

    def breaks(self, change: str) -> list[Breakage]:
        """Return what fails after a change, which is then undone."""
        counters = read_counters(self.session)
        transaction = self.session.connection.transaction()
        self.session.call(transaction.start())
        try:
            self.session.run(change)
            changed = changed_relations(self.before, describe_schema(self.session, "alembic_version"))
            if "TRUNCATE" in change:
                changed = None
            elif changed is not None:
                changed |= set_back(counters, read_counters(self.session))
            self.code._told.clear()
            return self.code.broken(self.session, changed)
        finally:
            self.session.call(transaction.rollback())


@pytest.fixture(scope="module")
def shop(server: Any) -> Iterator[Shop]:
    """Make the old release's database."""
    database = Database(server, "old_code")
    try:
        engine = sqlalchemy.create_engine(database.url("psycopg"), poolclass=sqlalchemy.NullPool)
        Base.metadata.create_all(engine)
        with ControlThread() as control:
            arguments = parse_database_url(database.url()).asyncpg_arguments()
            session = ScratchSession(control, control.call(_connect(arguments)))
            yield Shop(session)
            session.close()
    finally:
        database.drop()


async def _connect(arguments: dict[str, Any]) -> Any:
    return await asyncpg.connect(**arguments)


def _mutations() -> Iterator[tuple[bool, str, str]]:
    """Yield whether it breaks old code, what it is, and SQL: the hand-made ones, and the same change of every column."""
    for section in Path(__file__).with_name("mutations.txt").read_text().split("### ")[1:]:
        head, _, change = section.partition("\n")
        kind, _, name = head.partition(": ")
        yield kind == "breaks", name, change
    for table in Base.metadata.sorted_tables:
        yield True, f"{table.name} dropped", f"DROP TABLE {table.name} CASCADE"
        for column in table.columns:
            where = f"{table.name}.{column.name}"
            yield True, f"{where} dropped", f"ALTER TABLE {table.name} DROP COLUMN {column.name} CASCADE"
            yield True, f"{where} renamed", f"ALTER TABLE {table.name} RENAME {column.name} TO renamed"
            if not column.primary_key:
                yield False, f"{where} may be empty", f"ALTER TABLE {table.name} ALTER {column.name} DROP NOT NULL"
                yield False, f"{where} indexed", f"CREATE INDEX ON {table.name} ({column.name})"


def test_all_that_the_models_need_is_said(shop: Shop) -> None:
    """Every statement that the models need works on the schema that they were made for."""
    assert shop.silent == []


def test_breaking_changes_are_found_and_compatible_ones_are_quiet(shop: Shop) -> None:
    """All of the breaking ones, at most two false alarms, of 60 each and more."""
    missed, false, right = [], [], SimpleNamespace(breaking=0, compatible=0)
    for breaks, name, change in _mutations():
        found = shop.breaks(change)
        if breaks and not found:
            missed.append(name)
        elif found and not breaks:
            false.append(f"{name}: {found[0].sql}: {found[0].problem}")
        elif breaks:
            right.breaking += 1
        else:
            right.compatible += 1
    assert not missed, (missed, false)
    assert len(false) <= _FALSE_ALARMS, false
    assert min(right.breaking, right.compatible) >= 60


def test_the_evidence_is_the_line_of_the_old_model(shop: Shop) -> None:
    """A broken statement that concerns one column leads to where it is declared."""
    file = Path(__file__).with_name("old_models.py")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.strip().startswith("age:"))
    found = shop.breaks("ALTER TABLE users DROP COLUMN age")
    assert any(
        each.source.endswith(f"old_models.py:{line}") and 'column "age" does not exist' in each.problem
        for each in found
    )
