"""A check, trigger, rule, policy or privilege that old code runs into."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted


class OldRowsRefused(StepRule):
    """A live table gets a check on a column that old code does not fill or whose rows this revision has to repair first, a trigger that raises, a rule, or row security; or it loses a policy or a privilege."""

    code = "SM122"
    hazards = ("old_code_breaks",)
    condition = (
        "A live table gets a check on a column that old code does not fill or whose rows this revision has to "
        "repair first, a trigger that raises, a rule, or row security; or it loses a policy or a privilege."
    )
    effect = (
        "NOT VALID spares the old rows, not the new ones: what the release that still serves writes is "
        "refused, or it finds nothing."
    )
    workaround = "Release code that fits first, then add the rule."
    bad = """\
op.add_column("items", sa.Column("warehouse", sa.Text(), nullable=True))
op.execute("ALTER TABLE items ADD CONSTRAINT ck CHECK (warehouse IS NOT NULL) NOT VALID")
"""
    good = """\
op.execute("ALTER TABLE items ADD CONSTRAINT ck CHECK (quantity > 0) NOT VALID")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if step.analysis.contract or not step.is_live(action.table):
            return
        reason = _reason(step)
        if reason is not None:
            yield Finding(
                message=f"{reason}: what the release that still serves writes or reads in {action.table} fails from now on.",
                help="Instead: first release code that fits, then add this in a later revision.\n"
                f"{CONTRACT}\n"
                f"op.execute({quoted(step.statement.sql or '…')})",
            )


def _reason(step: Step) -> str | None:  # noqa: C901, PLR0911  one branch a cause
    action = step.action
    match action:
        case ir.AddConstraint(constraint=ir.Constraint(kind="check" | "not null") as check):
            required = check.not_null_columns or (check.columns if check.kind == "not null" else ())
            for column in required:
                added = step.analysis.new_columns.get((action.table, column))
                if added is not None and added.default is None and not added.identity and added.generated is None:
                    return f"The check requires {column}, which the old release does not know"
            repaired = [
                column
                for column in check.columns
                if (action.table, column) in step.analysis.written
                and (action.table, column) not in step.analysis.new_columns
            ]
            if repaired:
                return f"The revision has to repair {repaired[0]} before the check holds, and the old release goes on writing it as before"
        case ir.CreateTrigger():
            function = step.schema.functions.get(action.function)
            if function is not None and (function.raises or (function.returns_null and action.before)):
                return f"The trigger {action.name} refuses rows"
        case ir.EnableRowSecurity():
            return "Row security hides the rows from whoever no policy admits"
        case ir.Revoke():
            return "A privilege is taken away"
        case ir.CreateRule() if action.table not in step.schema.views:
            return f"The rule {action.name} does something else instead"
        case ir.BriefAlter(what="DROP POLICY") if not _admitted_again(step):
            return "Row security hides the rows that the policy showed"
        case _:
            pass
    return None


def _admitted_again(step: Step) -> bool:
    """Tell whether the revision gives the table another policy, or ends its row security."""
    return any(
        isinstance(each, ir.BriefAlter)
        and each.table == step.action.table
        and each.what in ("CREATE POLICY", "AT_DisableRowSecurity")
        for each in step.analysis.actions()
    )
