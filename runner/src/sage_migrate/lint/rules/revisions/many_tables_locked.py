"""Two live tables are locked in one transaction."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.effects import STRONG
from sage_migrate.lint.rule import Finding, StepRule


class ManyTablesLocked(StepRule):
    """Two statements of one transaction lock two live tables."""

    code = "SM115"
    hazards = ("multi_lock_transaction",)
    condition = "Two statements of one transaction lock two live tables."
    effect = (
        "The first lock is held while the second is waited for: a long reader of one table stops the users of "
        "both, and two such transactions can deadlock."
    )
    workaround = (
        "One table in a revision (or in a transaction), so that each lock is released before the next is asked for."
    )
    bad = """\
op.add_column("users", sa.Column("locale", sa.String(8), nullable=True))
op.add_column("orders", sa.Column("locale", sa.String(8), nullable=True))
"""
    good = """\
op.add_column("users", sa.Column("locale", sa.String(8), nullable=True))
with op.get_context().autocommit_block():
    op.add_column("orders", sa.Column("locale", sa.String(8), nullable=True))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if isinstance(action, ir.CreateTable):
            return
        new = [table for table, strength in step.effects.locks.items() if strength in STRONG and table not in step.held]
        others = [table for table in step.held if table not in new]
        if not new or not others:
            return
        first = step.held[others[0]]
        yield Finding(
            message=f"{new[0]} is locked while {others[0]} still is, since line {first.since.line}: whoever waits for one waits for both.",
            help=f"Instead: move what concerns {new[0]} into a revision of its own (one transaction each), or leave the transaction for it.\n"
            "with op.get_context().autocommit_block():\n"
            f"    …  # what changes {new[0]}",
        )
