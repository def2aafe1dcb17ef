"""Which locks an action takes on live tables, and which work in proportion to a table it does meanwhile.

https://www.postgresql.org/docs/current/explicit-locking.html and the notes of each command's page.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sage_migrate.lint import statements as ir
from sage_migrate.lint.schema import Schema
from sage_migrate.lint.type_change import judge

STRONG = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
"""The modes that somebody who writes waits for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Work in proportion to a table."""

    table: str
    what: str


@dataclass(kw_only=True, slots=True)
class Effects:
    """What one action does to live tables."""

    locks: dict[str, ir.Strength] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)


SERIAL = frozenset(("serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"))


def rewrite_reason(column: ir.Column, domains: dict[str, bool]) -> str | None:
    """Return why adding ``column`` writes every row anew, None where it does not."""
    if column.generated == "stored":
        return "a stored generated column is computed for each row"
    if column.identity or (column.type is not None and column.type.name in SERIAL):
        return "each row gets a number of its own"
    if column.default == "volatile":
        return "its default is computed for each row"
    if column.type is not None and domains.get(column.type.name):
        return f"the domain {column.type.name} has a constraint, which is checked for each row"
    return None


def checked_not_null(schema: Schema, table: str, column: str) -> bool:
    """Tell whether a validated check already says that ``column`` is set: SET NOT NULL then scans nothing."""
    known = schema.tables.get(table)
    return known is not None and any(
        not c.not_valid and column in c.not_null_columns for c in known.constraints.values()
    )


def effects_of(action: ir.Action, live: Callable[[str], bool], schema: Schema) -> Effects:  # noqa: C901, PLR0912, PLR0915  one branch a kind of action
    """Return the effects of ``action`` on the tables that are ``live``."""
    found = Effects()
    table = action.table

    def lock(name: str | None, strength: ir.Strength) -> None:
        if name and live(name):
            found.locks[name] = strength

    def work(name: str | None, what: str) -> None:
        if name and live(name):
            found.work.append(Work(table=name, what=what))

    match action:
        case ir.AddColumn(column=column):
            lock(table, "ACCESS EXCLUSIVE")
            if rewrite_reason(column, schema.domains):
                work(table, "rewrite")
            for constraint in column.constraints:
                if constraint.kind == "foreign key":
                    lock(constraint.references, "SHARE ROW EXCLUSIVE")
                    if column.default is not None:
                        work(table, "scan")
                elif constraint.kind == "check":
                    work(table, "scan")
                elif constraint.kind != "not null":
                    work(table, "index build")
        case ir.AlterType():
            lock(table, "ACCESS EXCLUSIVE")
            known = schema.column(table, action.column)
            if judge(action, known.type if known else None).rewrites:
                work(table, "rewrite")
        case ir.SetNotNull():
            lock(table, "ACCESS EXCLUSIVE")
            if not checked_not_null(schema, table, action.column):
                work(table, "scan")
        case ir.AddConstraint(constraint=constraint):
            if constraint.kind == "foreign key":
                lock(table, "SHARE ROW EXCLUSIVE")
                lock(constraint.references, "SHARE ROW EXCLUSIVE")
            else:
                lock(table, "ACCESS EXCLUSIVE")
            if not constraint.not_valid and not constraint.using_index:
                work(table, "scan" if constraint.kind in ("foreign key", "check", "not null") else "index build")
        case ir.ValidateConstraint():
            lock(table, "SHARE UPDATE EXCLUSIVE")
            work(table, "scan")
        case ir.DropConstraint():
            lock(table, "ACCESS EXCLUSIVE")
            known_constraint = schema.tables[table].constraints.get(action.name) if table in schema.tables else None
            if known_constraint and known_constraint.references:
                lock(known_constraint.references, "ACCESS EXCLUSIVE")
        case (
            ir.DropTable()
            | ir.DropColumn()
            | ir.RenameTable()
            | ir.RenameColumn()
            | ir.DropNotNull()
            | ir.SetDefault()
            | ir.Truncate()
            | ir.EnableRowSecurity()
        ):
            if not (isinstance(action, ir.RenameTable) and action.what != "table"):
                lock(table, "ACCESS EXCLUSIVE")
        case ir.BriefAlter():
            lock(table, action.strength)
        case ir.RewriteTable():
            lock(table, "ACCESS EXCLUSIVE")
            work(table, "rewrite")
        case ir.CreateIndex():
            if not action.concurrently:
                lock(table, "SHARE")
                if not action.only:
                    work(table, "index build")
        case ir.DropIndex():
            if not action.concurrently:
                lock(table or schema.index_owner(action.name), "ACCESS EXCLUSIVE")
        case ir.Reindex():
            if not action.concurrently:
                owner = table or schema.index_owner(action.name) or action.name
                lock(owner, "SHARE")
                work(owner, "index build")
        case ir.LockTable():
            lock(table, action.strength)
        case ir.Update() | ir.Delete():
            lock(table, "ROW EXCLUSIVE")
            if not action.filter.never and not action.filter.by_key:
                work(table, "write" if action.filter.selects == "most" else "scan")
        case ir.Insert():
            lock(table, "ROW EXCLUSIVE")
            _reads(action.copies, work)
        case ir.Select():
            _reads(action.query, work)
        case ir.CreateTable():
            lock(action.partition_of, "ACCESS EXCLUSIVE")
            parent = schema.tables.get(action.partition_of or "")
            if parent is not None:
                work(parent.default_partition, "scan")
            _reads(action.copies, work)
        case ir.CreateView():
            if action.materialized:
                _reads(action.query, work)
        case ir.CreateTrigger():
            lock(table, "SHARE ROW EXCLUSIVE")
        case ir.AttachPartition():
            lock(action.partition, "ACCESS EXCLUSIVE")
            parts = schema.tables.get(action.partition)
            if parts is None or not any(c.kind == "check" and not c.not_valid for c in parts.constraints.values()):
                work(action.partition, "scan")
            parent = schema.tables.get(table)
            if parent is not None and parent.default_partition:
                lock(parent.default_partition, "ACCESS EXCLUSIVE")
                work(parent.default_partition, "scan")
        case ir.DetachPartition():
            if not action.concurrently:
                lock(table, "ACCESS EXCLUSIVE")
                lock(action.partition, "ACCESS EXCLUSIVE")
        case _:
            pass
    return found


def _reads(query: ir.Query | None, work: Callable[[str | None, str], None]) -> None:
    if query is None or query.filter.by_key or query.filter.never:
        return
    if query.aggregates and query.filter.selects == "most" and query.columns in (("max",), ("min",)):
        return  # from the end of an index
    for table in query.tables:
        if not table.startswith(("pg_", "information_schema.", ir.UNKNOWN)):
            work(table, "scan")
