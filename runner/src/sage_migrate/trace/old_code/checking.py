"""Say old statements to a schema, in a transaction that is rolled back, and tell which of them do not work any more.

A statement counts only as far as it works on the old schema: executed there, it must execute, and touch a row where it
touched one; only prepared there (for want of arguments that fit), it must prepare.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg

from sage_migrate.lint.sql import parse_type
from sage_migrate.lint.statements import AlterType
from sage_migrate.lint.type_change import judge
from sage_migrate.session import quote_identifier
from sage_migrate.trace.old_code.statements import OldStatement
from sage_migrate.trace.results import Breakage
from sage_migrate.trace.scratch_database import ScratchSession

# As the application: no superuser, for whom row security would not count. The role is gone with the transaction; it is named
# after the database, as a role is everybody's on the server. pg_write_all_data is not enough: beside a GRANT of INSERT to PUBLIC
# it gives no UPDATE.
_ROLE = """
DO $$
DECLARE spoken text;
BEGIN
  EXECUTE format('CREATE ROLE %I', current_database());
  FOR spoken IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', spoken, current_database());
    EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO %I', spoken, current_database());
    EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA %I TO %I', spoken, current_database());
  END LOOP;
END $$;
SELECT set_config('role', current_database(), true)
"""
# Text in quotes and casts are left alone.
_PARAMETER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)""")
_ORDINARY = {
    "bool": "true",
    "json": "'{}'",
    "jsonb": "'{}'",
    "uuid": "'00000000-0000-4000-8000-000000000001'",
    "date": "'2024-06-01'",
    "timestamp": "'2024-06-01'",
    "timestamptz": "'2024-06-01'",
    "time": "'12:00'",
    "interval": "'1 day'",
    "bytea": "''",
    "inet": "'10.0.0.1'",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a schema says to a statement."""

    prepared: bool
    executed: bool
    sql: str = ""
    """With its arguments."""
    touched: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    """The types of what it returns."""
    kept: dict[str, object] = field(default_factory=dict)
    """What came back of what it wrote."""
    sqlstate: str = ""
    problem: str = ""


@dataclass(kw_only=True, slots=True)
class Spoken:
    """Statements, with what the old schema says to each."""

    statements: Sequence[OldStatement]
    answers: dict[OldStatement, Answer] = field(default_factory=dict)

    def learn(self, session: ScratchSession) -> None:
        """Say everything to the old schema."""
        self.answers = ask(session, self.statements)

    @property
    def counting(self) -> list[OldStatement]:
        """The statements that work there, at least so far that they can be prepared."""
        return [each for each, answer in self.answers.items() if answer.prepared]

    def broken(self, session: ScratchSession, changed: set[str] | None = None) -> Iterator[Breakage]:
        """Yield what works there and not here; with ``changed`` only of statements that name one of these relations."""
        asked = [
            each for each in self.counting if changed is None or not each.relations or changed & set(each.relations)
        ]
        for statement, answer in ask(session, asked, self.answers).items():
            sqlstate, problem = _compare(self.answers[statement], answer)
            if problem and (not statement.only or sqlstate in statement.only):
                yield Breakage(
                    sql=statement.sql,
                    source=statement.source,
                    relations=statement.relations,
                    sqlstate=sqlstate,
                    problem=problem,
                )


def ask(
    session: ScratchSession, statements: Sequence[OldStatement], known: Mapping[OldStatement, Answer] | None = None
) -> dict[OldStatement, Answer]:
    """Return what the schema that is there says to each statement; nothing of them stays.

    Of statements that are ``known`` the parameters' types are, so that they need not be prepared again.
    """
    return session.call(_ask_all(session.connection, statements, known or {}))


def _compare(old: Answer, new: Answer) -> tuple[str, str]:
    """Return what is worse than before: its SQLSTATE, where there is one, and words; empty where nothing is."""
    if not new.prepared or (old.executed and not new.executed):
        return new.sqlstate, new.problem
    if old.touched and not new.touched:
        return "", "it finds nothing any more"
    for name, type_ in old.columns.items():
        if name not in new.columns:
            return "42703", f"it returns no {name} any more"
        if new.columns[name] != type_ and _breaks(type_, new.columns[name]):
            return "", f"{name} comes as {new.columns[name]}, not {type_}"
    for name, value in old.kept.items():
        if name in new.kept and not _is_same(value, new.kept[name]):
            return "", f"{name} is stored as {new.kept[name]}, not {value}"
    return "", ""


def _is_same(value: object, other: object) -> bool:
    """Tell whether two values are the same to Python; of other types than numbers and texts that cannot be told here."""
    numbers = (int, float, Decimal)
    if isinstance(value, numbers) and isinstance(other, numbers):
        return math.isclose(value, other, rel_tol=1e-6)
    return value == other or not (isinstance(value, str) and isinstance(other, str))


def _breaks(old: str, new: str) -> bool:
    was, is_ = parse_type(old), parse_type(new)
    if was is None or is_ is None:
        return True
    return judge(AlterType(table="", column="", type=is_, existing_type=was), None).breaks_old_code


async def _ask_all(
    connection: "asyncpg.Connection[asyncpg.Record]",
    statements: Sequence[OldStatement],
    known: Mapping[OldStatement, Answer],
) -> dict[OldStatement, Answer]:
    answers: dict[OldStatement, Answer] = {}
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SAVEPOINT statement")
        try:
            await connection.execute(_ROLE)
        except asyncpg.PostgresError:  # may create databases, and no roles
            await connection.execute("ROLLBACK TO statement")
        # A deferred constraint is checked at once, and not never.
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT statement")
        for statement in statements:
            answers[statement] = await _ask(connection, statement, known.get(statement))
            await connection.execute("ROLLBACK TO statement")
    finally:
        await transaction.rollback()
    return answers


async def _ask(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: OldStatement, known: Answer | None
) -> Answer:
    sql, columns = known.sql if known else "", dict[str, str]()
    if known is None or not known.executed or known.columns:
        try:
            prepared = await connection.prepare(statement.sql)
        except asyncpg.PostgresError as error:
            return Answer(prepared=False, executed=False, sqlstate=error.sqlstate or "", problem=_words(error))
        columns = {each.name: str(each.type.name) for each in prepared.get_attributes() if each.name != "?column?"}
        sql = sql or await _with_arguments(connection, statement, prepared.get_parameters())
    kept: dict[str, object] = {}
    try:
        if statement.kept:
            found = await (await connection.prepare(sql)).fetchrow()  # one that is kept would be of another schema
            tag = f"FETCH {0 if found is None else 1}"
            kept = {name: found[name] for name in statement.kept if name in found} if found else {}
        else:
            tag = await connection.execute(sql)
    except asyncpg.PostgresError as error:
        sqlstate, problem = error.sqlstate or "", _words(error)
        return Answer(prepared=True, executed=False, sql=sql, columns=columns, sqlstate=sqlstate, problem=problem)
    last = tag.rpartition(" ")[2]
    touched = int(last) if last.isdigit() else 0
    return Answer(prepared=True, executed=True, sql=sql, touched=touched, columns=columns, kept=kept)


async def _with_arguments(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: OldStatement, parameters: Sequence[Any]
) -> str:
    """Return the statement with an expression of each parameter's type in its place."""
    given = statement.arguments
    values = [
        f"({given[place] if given else await _ordinary(connection, each)})::{_cast(each)}"
        for place, each in enumerate(parameters)
    ]
    return _PARAMETER.sub(lambda match: match[0] if match[1] is None else values[int(match[1]) - 1], statement.sql)


def _cast(type_: Any) -> str:
    schema = "" if type_.schema == "pg_catalog" else f"{quote_identifier(type_.schema)}."
    name = str(type_.name)
    return f"{schema}{quote_identifier(name.removesuffix('[]'))}{'[]' if name.endswith('[]') else ''}"


async def _ordinary(connection: "asyncpg.Connection[asyncpg.Record]", type_: Any) -> str:
    """Return an expression that stands for any value of a type."""
    name = str(type_.name)
    if name.endswith("[]"):
        return "'{}'"
    if name in _ORDINARY:
        return _ORDINARY[name]
    label = await connection.fetchval(
        "SELECT enumlabel FROM pg_enum JOIN pg_type t ON t.oid = enumtypid WHERE t.oid = $1 ORDER BY enumsortorder LIMIT 1",
        type_.oid,
    )
    return "'" + str(label).replace("'", "''") + "'" if label is not None else "'1'"


def _words(error: asyncpg.PostgresError) -> str:
    return " ".join(str(error).split()).rstrip(".")
