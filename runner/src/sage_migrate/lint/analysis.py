"""Walks through a revision's statements and tells the rules, at each one, what is live, held and known."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sage_migrate.lint import statements as ir
from sage_migrate.lint.effects import STRONG, Effects, effects_of
from sage_migrate.lint.schema import Schema

_MADE = (ir.CreateTable, ir.CreateView, ir.CreateFunction, ir.CreateEnum, ir.CreateDomain, ir.CreateObject)


@dataclass(kw_only=True, slots=True)
class Held:
    """A lock that the transaction holds since an earlier statement."""

    strength: ir.Strength
    since: ir.Statement
    action: ir.Action


@dataclass(kw_only=True, slots=True)
class Step:
    """One action, and what stands around it."""

    action: ir.Action
    statement: ir.Statement
    effects: Effects
    held: dict[str, Held]
    """By live table: what earlier statements of this transaction hold, SHARE or stronger."""
    schema: Schema
    """Before the action."""
    analysis: "Analysis"

    def is_live(self, table: str) -> bool:
        """Tell whether others may use ``table`` while the revision runs."""
        return self.analysis.is_live(table)

    def in_own_transaction(self) -> bool:
        """Tell whether the statement runs in a transaction block."""
        return self.statement.in_transaction or self.statement.parts > 1


@dataclass(kw_only=True, slots=True)
class Analysis:
    """The walk through one revision."""

    statements: list[ir.Statement]
    schema: Schema
    """What the history before it is known to have made; changed by the walk."""
    before: Schema = field(default_factory=Schema)
    """What ``downgrade()`` would bring back: so it was before."""
    first: bool = False
    """Nothing is live before the first revision."""
    contract: bool = False
    """Declared as to be applied when no old code serves any more."""
    new_tables: set[str] = field(default_factory=set)
    """Made here, or in another revision of the same unreleased batch."""
    new_columns: dict[tuple[str, str], ir.Column] = field(default_factory=dict)
    written: set[tuple[str, str]] = field(default_factory=set)
    """Columns whose rows the revision has changed so far."""
    replaced_enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The labels of the enums that were renamed away, under the name that they had."""
    new_enum_values: dict[tuple[str, str], int] = field(default_factory=dict)
    """Name and value, and the transaction that added it."""

    def is_live(self, table: str) -> bool:
        """Tell whether others may use ``table`` while the revision runs."""
        bare = table.rpartition(".")[2]
        return (
            bool(table)
            and not self.first
            and table not in self.new_tables
            and not bare.startswith(("alembic_version", "sqlite_"))
        )

    def made_again(self, name: str) -> bool:
        """Tell whether the revision makes something of this name, or renames a table to it."""
        return any(
            (isinstance(action, _MADE) and action.table == name)
            or (isinstance(action, ir.RenameTable) and action.new_name == name)
            for statement in self.statements
            for action in statement.actions
        )

    def actions(self) -> Iterator[ir.Action]:
        """Yield all actions."""
        for statement in self.statements:
            yield from statement.actions

    def steps(self) -> Iterator[Step]:
        """Yield the actions one after the other."""
        held: dict[str, Held] = {}
        transaction = -1
        for statement in self.statements:
            if statement.transaction != transaction:
                held, transaction = {}, statement.transaction
            taken: dict[str, Held] = {}
            for action in statement.actions:
                effects = effects_of(action, self.is_live, self.schema)
                if (
                    isinstance(action, ir.DropConstraint)
                    and (other := self._referenced(action))
                    and self.is_live(action.table)
                ):
                    effects.locks[other] = "ACCESS EXCLUSIVE"
                yield Step(
                    action=action, statement=statement, effects=effects, held=held, schema=self.schema, analysis=self
                )
                for table, strength in effects.locks.items():
                    if strength in STRONG and not isinstance(action, ir.CreateTable):
                        before = taken.get(table)
                        if before is None or STRONG.index(strength) > STRONG.index(before.strength):
                            taken[table] = Held(strength=strength, since=statement, action=action)
                self._take_in(action, statement)
            for table, lock in taken.items():
                if table not in held or STRONG.index(lock.strength) > STRONG.index(held[table].strength):
                    held[table] = lock

    def _referenced(self, dropped: ir.DropConstraint) -> str | None:
        """Return the table that a dropped foreign key refers to, where ``downgrade()`` or its successor tells."""
        known = self.before.tables.get(dropped.table)
        constraint = known.constraints.get(dropped.name) if known else None
        successors = (
            each.constraint
            for each in self.actions()
            if isinstance(each, ir.AddConstraint) and each.table == dropped.table
        )
        constraint = constraint or next((each for each in successors if each.name == dropped.name), None)
        return (
            constraint.references
            if constraint and constraint.references and self.is_live(constraint.references)
            else None
        )

    def _take_in(self, action: ir.Action, statement: ir.Statement) -> None:
        match action:
            case ir.CreateTable() if not action.partition_of or action.table:
                self.new_tables.add(action.table)
            case ir.CreateView(materialized=True):
                self.new_tables.add(action.table)
            case ir.RenameTable() if action.table in self.new_tables:
                self.new_tables.discard(action.table)
                self.new_tables.add(action.new_name)
            case ir.AddColumn():
                self.new_columns[action.table, action.column.name] = action.column
            case ir.Update() if not action.filter.never:
                self.written.update((action.table, column) for column in action.columns)
            case ir.RenameType() if action.table in self.schema.enums:
                self.replaced_enums[action.table] = self.schema.enums[action.table]
            case ir.CreateObject() | ir.CreateFunction() | ir.CreateEnum() | ir.CreateDomain():
                self.new_tables.add(action.table)
            case ir.AddEnumValue():
                self.new_enum_values[action.table, action.value] = statement.transaction
            case _:
                pass
        self.schema.apply(action)
