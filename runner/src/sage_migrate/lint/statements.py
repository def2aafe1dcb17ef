"""What a revision says to the database, whether it said so by ``op.*`` or by SQL: a list of statements, each with actions.

Names of tables are as in PostgreSQL's catalogue: lower case unless quoted, with the schema in front unless it is public.
"""

from dataclasses import dataclass, field
from typing import Literal

from sage_migrate.lint.record import Record

UNKNOWN = "sm_unknown"
"""Stands in names and SQL for what could not be evaluated; a valid identifier."""

Volatility = Literal["constant", "volatile", "unknown"]
Strength = Literal[
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
]


class Type(Record):
    """A type by PostgreSQL's internal name (``int4``, ``varchar``, ``timestamptz``), with its modifiers."""

    name: str
    modifiers: tuple[int, ...] = ()
    array: bool = False
    values: tuple[str, ...] = ()
    """The labels of an enum, where they were written beside the name."""

    def __str__(self) -> str:
        """Spell it as in SQL."""
        spelled = _SPELLED.get(self.name, self.name)
        return spelled + (f"({', '.join(map(str, self.modifiers))})" if self.modifiers else "") + "[]" * self.array


_SPELLED = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "bool": "boolean",
    "float8": "double precision",
    "float4": "real",
    "bpchar": "char",
}


class Constraint(Record):
    """A constraint of a table or of a column."""

    kind: Literal["check", "foreign key", "unique", "primary key", "exclusion", "not null"]
    name: str | None = None
    columns: tuple[str, ...] = ()
    expression: str = ""
    not_null_columns: tuple[str, ...] = ()
    """Of a check: the columns that it requires to be set."""
    references: str | None = None
    referred_columns: tuple[str, ...] = ()
    not_valid: bool = False
    using_index: str | None = None


class Column(Record):
    """A column as it is added or created."""

    name: str
    type: Type | None = None
    not_null: bool = False
    default: Volatility | None = None
    generated: Literal["stored", "virtual"] | None = None
    identity: bool = False
    constraints: tuple[Constraint, ...] = ()
    index: bool = False


class Action(Record):
    """One thing that a statement does to one table (or to another object, in ``table``)."""

    table: str = ""


class CreateTable(Action):
    """CREATE TABLE; ``if_not_exists`` may find one that is live."""

    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    partition_of: str | None = None
    is_default_partition: bool = False
    partitioned: bool = False
    copies: "Query | None" = None


class DropTable(Action):
    """DROP TABLE."""


class DropCascade(Action):
    """DROP of a schema, a type or an extension … CASCADE, or DROP OWNED: with the tables or columns that need it."""

    what: str


class RenameTable(Action):
    """RENAME TO, or SET SCHEMA; ``what`` is table, view or sequence."""

    new_name: str
    what: str = "table"


class AddColumn(Action):
    """ADD COLUMN."""

    column: Column


class DropColumn(Action):
    """DROP COLUMN."""

    column: str


class RenameColumn(Action):
    """RENAME COLUMN."""

    column: str
    new_name: str


class AlterType(Action):
    """ALTER COLUMN … TYPE."""

    column: str
    type: Type | None
    existing_type: Type | None = None
    using: str | None = None
    shortens: bool = False
    """The USING expression cuts values to a length."""
    collation: bool = False


class SetNotNull(Action):
    """ALTER COLUMN … SET NOT NULL."""

    column: str
    existing_default: bool = False


class DropNotNull(Action):
    """ALTER COLUMN … DROP NOT NULL."""

    column: str


class SetDefault(Action):
    """ALTER COLUMN … SET DEFAULT, or DROP DEFAULT."""

    column: str
    dropped: bool
    existing_not_null: bool | None = None
    text: str = ""


class AddConstraint(Action):
    """ADD CONSTRAINT."""

    constraint: Constraint


class ValidateConstraint(Action):
    """VALIDATE CONSTRAINT."""

    name: str


class DropConstraint(Action):
    """DROP CONSTRAINT; ``kind`` where it was said or is known."""

    name: str
    kind: str | None = None


class BriefAlter(Action):
    """Another change of the catalogue alone, under ``strength``."""

    what: str
    strength: Strength = "ACCESS EXCLUSIVE"


class RewriteTable(Action):
    """VACUUM FULL, CLUSTER, SET LOGGED, SET TABLESPACE, REFRESH MATERIALIZED VIEW: the whole table anew."""

    what: str
    refuses_transaction: bool = False


class CreateIndex(Action):
    """CREATE INDEX."""

    name: str | None
    columns: tuple[str, ...]
    unique: bool = False
    concurrently: bool = False
    only: bool = False
    method: str = "btree"
    partial: bool = False


class DropIndex(Action):
    """DROP INDEX; the table is often unknown."""

    name: str
    concurrently: bool = False


class Reindex(Action):
    """REINDEX."""

    what: str
    name: str
    concurrently: bool = False


class OutsideOnly(Action):
    """Another command that refuses to run in a transaction block."""

    what: str


class LockTable(Action):
    """LOCK TABLE."""

    strength: Strength


class Filter(Record):
    """What of a WHERE clause can be told without the data.

    ``selects``: "few" rows, "batch" (bounded by LIMIT or a span of keys), or "most" of the table.
    """

    selects: Literal["few", "batch", "most"] = "most"
    by_key: bool = False
    """Finds its rows by a key, so that no scan is needed."""
    never: bool = False


class Query(Record):
    """A SELECT: the tables it reads, and how much of them."""

    tables: tuple[str, ...] = ()
    filter: Filter = Filter()
    columns: tuple[str, ...] | None = None
    """The names that it returns; None where a star or an unnamed expression is among them."""
    aggregates: bool = False


class Update(Action):
    """UPDATE."""

    columns: tuple[str, ...]
    filter: Filter
    values: tuple[str, ...] = ()


class Delete(Action):
    """DELETE."""

    filter: Filter


class Insert(Action):
    """INSERT, of values (``copies`` is None) or of what a query returns."""

    copies: Query | None = None


class Select(Action):
    """SELECT."""

    query: Query


class Truncate(Action):
    """TRUNCATE."""


class CreateView(Action):
    """CREATE [OR REPLACE] [MATERIALIZED] VIEW."""

    query: Query
    materialized: bool = False


class DropView(Action):
    """DROP [MATERIALIZED] VIEW."""

    materialized: bool = False


class CreateFunction(Action):
    """CREATE FUNCTION; a trigger's may raise, or return NULL, which a BEFORE trigger takes for: leave the row out."""

    trigger: bool = False
    raises: bool = False
    returns_null: bool = False


class CreateObject(Action):
    """CREATE SEQUENCE, EXTENSION or TYPE: nothing of it matters but that it is new."""


class DropObject(Action):
    """DROP, or RENAME TO ``new_name``, of what statements call by its name: a function, sequence or extension."""

    what: str
    new_name: str | None = None
    cascade: bool = False


class CreateTrigger(Action):
    """CREATE TRIGGER."""

    name: str
    function: str
    before: bool = False


class CreateRule(Action):
    """CREATE RULE … DO INSTEAD on what is written."""

    name: str


class EnableRowSecurity(Action):
    """ENABLE ROW LEVEL SECURITY."""


class Revoke(Action):
    """REVOKE on a table, or on all that is in a schema."""


class AttachPartition(Action):
    """ATTACH PARTITION."""

    partition: str


class DetachPartition(Action):
    """DETACH PARTITION."""

    partition: str
    concurrently: bool = False


class CreateEnum(Action):
    """CREATE TYPE … AS ENUM, in ``table`` its name."""

    values: tuple[str, ...] = ()


class AddEnumValue(Action):
    """ALTER TYPE … ADD VALUE."""

    value: str


class RenameEnumValue(Action):
    """ALTER TYPE … RENAME VALUE."""

    value: str
    new_value: str


class RenameType(Action):
    """ALTER TYPE … RENAME TO."""

    new_name: str


class CreateDomain(Action):
    """CREATE DOMAIN."""

    constrained: bool


class ConstrainDomain(Action):
    """ALTER DOMAIN … ADD CONSTRAINT or SET NOT NULL."""

    not_valid: bool


class NotUnderstood(Action):
    """Something that the reader met and could not follow."""

    why: str


class CreateAll(Action):
    """``metadata.create_all()``: what it makes depends on the models of the day."""


@dataclass(kw_only=True, slots=True)
class Statement:
    """What is sent at once, or one part of a string of several statements."""

    actions: list[Action]
    line: int
    column: int
    path: str = ""
    """Where it is written, when that is not the revision's own file."""
    in_transaction: bool = True
    transaction: int = 0
    """Statements with the same number are committed together."""
    repeated: bool = False
    """Sent again and again by a loop whose number of turns is not known."""
    conditional: bool = False
    parts: int = 1
    """The number of statements in the string."""
    sql: str = ""
    literals: set[str] = field(default_factory=set)
    """The string constants in it."""
