"""VACUUM FULL, CLUSTER, SET LOGGED, SET TABLESPACE or REFRESH."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, quoted


class TableWrittenAnew(StepRule):
    """A command copies a whole live table or materialized view."""

    code = "SM119"
    hazards = ("access_exclusive_long",)
    condition = "A command copies a whole live table or materialized view."
    effect = "It is written anew while ACCESS EXCLUSIVE is held: nobody reads or writes it meanwhile."
    workaround = "Plain VACUUM or pg_repack; REFRESH MATERIALIZED VIEW CONCURRENTLY."
    bad = """\
op.execute("REFRESH MATERIALIZED VIEW user_totals")
"""
    good = """\
op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY user_totals")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.RewriteTable) or not step.is_live(action.table):
            return
        if action.refuses_transaction and step.in_own_transaction():
            return  # refused before it does anything
        instead = {
            "REFRESH MATERIALIZED VIEW": f"op.execute({quoted(f'REFRESH MATERIALIZED VIEW CONCURRENTLY {action.table}')})  # needs a unique index\n{MAY_BE_LEFT}",
            "VACUUM FULL": f"pg_repack --table {action.table}",
            "CLUSTER": f"pg_repack --table {action.table}",
        }.get(action.what, "a new table with a trigger that keeps it in step, a copy in batches, and a swap")
        yield Finding(
            message=f"{action.what} writes {action.table} anew while nobody else may read or write it.",
            help=f"Instead: \n{instead}",
        )
