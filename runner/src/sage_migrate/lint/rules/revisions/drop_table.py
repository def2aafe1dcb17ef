"""A table is dropped."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted, table_arguments


class DropTable(StepRule):
    """A live table is dropped; or a schema, type or extension with the tables or columns that need it."""

    code = "SM113"
    hazards = ("old_code_breaks", "data_loss")
    condition = "A live table is dropped; or a schema, type or extension with the tables or columns that need it."
    effect = "The statements of the release that still serves fail. The rows are gone."
    workaround = (
        "Release code that does not know the table first; then drop it in a revision that is declared as contract."
    )
    bad = """\
op.drop_table("audit_log")
"""
    good = """\
sage_migrate = {"phase": "contract", "reason": "replaced by events in 2.4"}

def upgrade():
    op.drop_table("audit_log")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, (ir.DropTable, ir.DropCascade)) or step.analysis.first or step.analysis.contract:
            return
        if isinstance(action, ir.DropTable):
            if not step.is_live(action.table):
                return
            what, lost, there = action.table, "its rows are gone", step.analysis.made_again(action.table)
        else:
            if action.what == "type" and not _is_used(step):
                return
            lost = "what is in it is gone" if action.what == "schema" else "every column that needs it is gone"
            what, there = f"the {action.what} {action.table}", False
        effect = lost.capitalize() if there else f"The statements of the release that still serves fail, and {lost}"
        yield Finding(
            message=f"{effect} once {what} is dropped.",
            help="Instead: release code without it first, then drop it in a revision of its own that says so.\n"
            f"{CONTRACT}\n"
            + (
                f"op.drop_table({table_arguments(action.table)})"
                if isinstance(action, ir.DropTable)
                else f"op.execute({quoted(step.statement.sql)})"
            ),
            hazards=("data_loss",) if there else self.hazards,
        )


def _is_used(step: Step) -> bool:
    """Tell whether a column has the type, as far as is known; where nothing is, whether the revision changed none."""
    name = step.action.table
    if any(
        column.type is not None and column.type.name == name
        for table in step.schema.tables.values()
        for column in table.columns.values()
    ):
        return True
    known = name in step.schema.enums or name in step.schema.domains
    freed = any(isinstance(each, (ir.AlterType, ir.DropColumn, ir.DropTable)) for each in step.analysis.actions())
    return step.is_live(name) and not known and not freed
