"""A new column that old code cannot leave out."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.effects import SERIAL
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted


class NotNullWithoutDefault(StepRule):
    """A live table gets a NOT NULL column without a default; or the default is dropped in the revision that added the column."""

    code = "SM111"
    hazards = ("old_code_breaks",)
    condition = (
        "A live table gets a NOT NULL column without a default; or the default is dropped in the revision "
        "that added the column."
    )
    effect = (
        "The release that still serves does not know the column: its INSERTs fail (and on a table with rows "
        "the ALTER TABLE does)."
    )
    workaround = "Give it a server default, and keep that until no pod of the old release is left."
    bad = """\
op.add_column("sessions", sa.Column("device", sa.String(), nullable=False))
"""
    good = """\
op.add_column("sessions", sa.Column("device", sa.String(), nullable=False, server_default=""))
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        column = None
        match action:
            case ir.AddColumn() if not _has_value(action.column) and action.column.not_null:
                column = action.column.name
            case ir.SetDefault(dropped=True):
                added = step.schema.column(action.table, action.column)
                known_not_null = action.existing_not_null is True or (added is not None and added.not_null)
                if known_not_null and (
                    (action.table, action.column) in step.analysis.new_columns
                    or (added is not None and added.default is not None)
                    or action.existing_not_null
                ):
                    column = None if _set_again(step) else action.column
            case ir.SetNotNull() if (action.table, action.column) in step.analysis.new_columns:
                added = step.schema.column(action.table, action.column)
                if added is not None and not _has_value(added) and not action.existing_default:
                    column = action.column
        if column is None or not step.is_live(action.table) or step.analysis.contract:
            return
        yield Finding(
            message=f"The release that still serves leaves {action.table}.{column} out: without a default its INSERTs fail from now on.",
            help="Instead: give the column a default in the database, and drop that in a later release.\n"
            f"op.add_column({quoted(action.table)}, sa.Column({quoted(column)}, …, nullable=False, server_default=…))",
        )


def _has_value(column: ir.Column) -> bool:
    return (
        column.default is not None
        or column.identity
        or column.generated is not None
        or (column.type is not None and column.type.name in SERIAL)
    )


def _set_again(step: Step) -> bool:
    """Tell whether the revision gives the column another default, as around a change of type."""
    action = step.action
    return any(
        isinstance(each, ir.SetDefault)
        and not each.dropped
        and each.table == action.table
        and each.column == getattr(action, "column", "")
        for each in step.analysis.actions()
    )
