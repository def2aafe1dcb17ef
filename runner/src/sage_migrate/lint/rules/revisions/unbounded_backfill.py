"""Most of a table is written in one transaction."""
# ruff: noqa: E501, S608  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.recipes import BACKFILL, ROWS, declare_backfill


class UnboundedBackfill(StepRule):
    """UPDATE, DELETE or a copy concerns half a live table or more, or a loop does it in one transaction."""

    code = "SM117"
    hazards = ("unbounded_backfill",)
    condition = "UPDATE, DELETE or a copy concerns half a live table or more, or a loop does it in one transaction."
    effect = (
        "All those rows stay locked until the end, the table bloats, replicas lag, and a failure throws "
        "everything away."
    )
    workaround = "Declare it as a backfill, which the gate does in batches; or loop over batches, each in a transaction of its own."
    bad = """\
op.execute("UPDATE orders SET status = 'open'")
"""
    good = """\
sage_migrate = {
    "backfill": {"table": "orders", "set": "status = 'open'", "where": "status IS NULL"},
}

def upgrade():
    pass
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        table, verb = _written(step)
        if table is None:
            return
        looped = step.statement.repeated and step.statement.in_transaction
        yield Finding(
            message=f"{verb} most of {table} in one transaction{', although in a loop' if looped else ''}: its rows stay locked until the end, and a failure undoes everything.",
            help=_declared(action) if isinstance(action, ir.Update) else _looped(table, verb),
        )


def _declared(action: ir.Update) -> str:
    return (
        "Instead: declare it in a revision of its own; the gate sets the rows in batches before upgrade() runs.\n"
        f"{declare_backfill(action.table, action.columns or ('…',))}  # {BACKFILL}"
    )


def _looped(table: str, verb: str) -> str:
    batch = f"(SELECT id FROM {table} WHERE … LIMIT 1000)"
    statement = (
        f"DELETE FROM {table} WHERE id IN {batch}"
        if "delete" in verb
        else f"INSERT INTO … SELECT … FROM {table} WHERE …"
    )
    return (
        "Instead: batches by key, each committed by itself.\n"
        "with op.get_context().autocommit_block():\n"
        f'    while op.get_bind().execute(sa.text("{statement}")).rowcount:\n'
        f"        pass\n# {ROWS}"
    )


def _written(step: Step) -> tuple[str | None, str]:
    action = step.action
    match action:
        case ir.Update() | ir.Delete() if step.is_live(action.table) and not action.filter.never:
            looped = step.statement.repeated and step.statement.in_transaction
            if action.filter.selects == "most" or looped:
                return action.table, "This updates" if isinstance(action, ir.Update) else "This deletes"
        case ir.Insert(copies=ir.Query() as query) | ir.CreateTable(copies=ir.Query() as query):
            live = [
                table
                for table in query.tables
                if step.is_live(table) and not table.startswith(("pg_", "information_schema."))
            ]
            if live and query.filter.selects == "most" and not query.filter.never:
                return live[0], "This copies"
        case _:
            pass
    return None, ""
