"""A view is dropped, or loses a column."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class ViewDroppedOrNarrowed(StepRule):
    """A view is dropped and not made again with all its columns."""

    code = "SM123"
    hazards = ("old_code_breaks",)
    condition = "A view is dropped and not made again with all its columns."
    effect = "The release that still serves reads it: its statements fail."
    workaround = "Add a new view beside it; keep every column until no pod reads it."
    bad = """\
op.execute("DROP VIEW active_users")
"""
    good = """\
op.execute("DROP VIEW active_users")
op.execute("CREATE VIEW active_users AS SELECT id, email, name, phone FROM users")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, ir.DropView) or step.analysis.first or step.analysis.contract:
            return
        made = [each for each in step.analysis.actions() if isinstance(each, ir.CreateView)]
        after = next((each for each in reversed(made) if each.table == action.table), None)
        if after is None:
            if step.analysis.made_again(action.table) or action.table in _made_before(step):
                return
            message = f"The release that still serves reads {action.table}: once it is dropped, its statements fail."
        else:
            before = step.schema.views.get(action.table) or step.analysis.before.views.get(action.table)
            if before is None or before is after or before.query.columns is None or after.query.columns is None:
                return
            lost = [column for column in before.query.columns if column not in after.query.columns]
            if not lost:
                return
            message = f"The view {action.table} loses {', '.join(lost)}, which the release that still serves reads: its statements fail."
        yield Finding(
            message=message,
            help="Instead: add a view under a new name, and drop this one when no pod reads it any more.\n"
            f"op.execute({quoted(f'CREATE VIEW {action.table}_v2 AS SELECT …')})",
        )


def _made_before(step: Step) -> set[str]:
    """Return the views that the revision made before this statement, and which so are nobody's yet."""
    made: set[str] = set()
    for statement in step.analysis.statements:
        if statement is step.statement:
            break
        made |= {each.table for each in statement.actions if isinstance(each, ir.CreateView)}
    return made
