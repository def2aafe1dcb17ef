"""A table, view, schema, column or type gets another name."""
# ruff: noqa: E501, S608  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted
from sage_migrate.recipes import RENAME


class Rename(StepRule):
    """A live table, column or type is renamed, or moved to another schema."""

    code = "SM114"
    hazards = ("old_code_breaks",)
    condition = "A live table, column or type is renamed, or moved to another schema."
    effect = (
        "The release that still serves uses the old name: its statements fail, and the new release cannot be up before."
    )
    workaround = "Add the new one and let both live; for a table, leave a view under the old name."
    bad = """\
op.rename_table("audit_log", "audit_entries")
"""
    good = """\
op.rename_table("audit_log", "audit_entries")
op.execute("CREATE VIEW audit_log AS SELECT * FROM audit_entries")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if (
            not isinstance(action, (ir.RenameTable, ir.RenameColumn, ir.RenameType))
            or not step.is_live(action.table)
            or step.analysis.contract
        ):
            return
        if isinstance(action, ir.RenameTable):
            if step.analysis.made_again(action.table) or action.new_name == action.table:
                return
            yield Finding(
                message=f"The release that still serves asks for {action.table}: once it is {action.new_name}, its statements fail.",
                help="Instead: leave a view under the old name until no pod uses it.\n"
                f"op.rename_table({quoted(action.table)}, {quoted(action.new_name)})\n"
                f"op.execute({quoted(f'CREATE VIEW {action.table} AS SELECT * FROM {action.new_name}')})",
            )
        elif isinstance(action, ir.RenameType):
            if not step.analysis.made_again(action.table):
                yield Finding(
                    message=f"The release that still serves casts its parameters to {action.table}: once it is {action.new_name}, its statements fail.",
                    help="Instead: leave the type its name; the class in Python may have another.\n"
                    f"sa.Enum({action.new_name.title().replace('_', '')}, name={quoted(action.table)})",
                )
        elif (action.table, action.column) not in step.analysis.new_columns:
            yield Finding(
                message=f"The release that still serves asks for {action.table}.{action.column}: once it is {action.new_name}, its statements fail.",
                help="Instead: keep the column's name and rename the attribute alone.\n"
                f"{action.new_name} = mapped_column({quoted(action.column)}, …)\n"
                f"# or add {action.new_name} beside it, write both, and drop {action.column} in a contract revision: {RENAME}",
            )
