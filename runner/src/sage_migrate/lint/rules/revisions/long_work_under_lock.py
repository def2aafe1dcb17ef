"""Work in proportion to a table while an earlier statement's lock is held."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.effects import STRONG
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT
from sage_migrate.recipes import BACKFILL, ROWS, declare_backfill


class LongWorkUnderLock(StepRule):
    """A scan, an index build or a backfill runs in a transaction that already holds a lock on a live table."""

    code = "SM116"
    hazards = ("access_exclusive_long", "blocks_writes_long")
    condition = "A scan, an index build or a backfill runs in a transaction that already holds a lock on a live table."
    effect = "The lock of the earlier, brief statement is kept until the long one is done."
    workaround = "Do the long work in a transaction of its own."
    bad = """\
op.add_column("users", sa.Column("display_name", sa.String(100), nullable=True))
op.execute("UPDATE users SET display_name = 'x' WHERE status = 'active'")
"""
    good = """\
op.add_column("users", sa.Column("display_name", sa.String(100), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        repeated = step.statement.repeated and isinstance(action, (ir.Update, ir.Delete)) and step.is_live(action.table)
        if not step.effects.work and not repeated:
            return
        worst = max(step.held.items(), key=lambda item: STRONG.index(item[1].strength), default=None)
        if worst is None:
            return
        table, held = worst
        if step.effects.locks.get(table) == "ACCESS EXCLUSIVE" and any(
            work.table == table for work in step.effects.work
        ):
            return  # the rule of that statement says it
        what, about = (
            (step.effects.work[0].what, step.effects.work[0].table) if step.effects.work else ("write", action.table)
        )
        noun = {
            "write": "rows are written",
            "scan": "rows are read",
            "rewrite": "table is written anew",
            "index build": "index is built",
        }[what]
        exclusive = held.strength == "ACCESS EXCLUSIVE"
        yield Finding(
            message=f"{table} stays locked ({held.strength}, since line {held.since.line}) while {about}'s {noun}: "
            f"{'nobody reads or writes it' if exclusive else 'nobody writes it'} meanwhile.",
            help=f"Instead: do the long work in a revision of its own, after this one.\n{_alone(action, what, about)}",
            hazards=("access_exclusive_long",) if exclusive else ("blocks_writes_long",),
        )


def _alone(action: ir.Action, what: str, about: str) -> str:
    """Return how a revision of its own does the work."""
    if isinstance(action, ir.Update):
        return f"{declare_backfill(about, action.columns or ('…',))}  # {BACKFILL}"
    page = f"# {ROWS}" if what == "write" else MAY_BE_LEFT
    return f"with op.get_context().autocommit_block():\n    …  # what takes time on {about}\n{page}"
