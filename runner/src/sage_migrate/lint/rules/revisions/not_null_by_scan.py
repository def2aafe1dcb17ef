"""SET NOT NULL reads the whole table under ACCESS EXCLUSIVE."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.effects import checked_not_null
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import quoted
from sage_migrate.recipes import NOT_NULL


class NotNullByScan(StepRule):
    """A column of a live table is set NOT NULL without a validated check that says the same."""

    code = "SM105"
    hazards = ("access_exclusive_long", "old_code_breaks")
    condition = "A column of a live table is set NOT NULL without a validated check that says the same."
    effect = (
        "Every row is read while ACCESS EXCLUSIVE is held; and from then on the release that still serves "
        "fails where it leaves the column out."
    )
    workaround = (
        "Add a check NOT VALID, validate it, then SET NOT NULL (which trusts it) and drop the check; first "
        "release code that always writes the column."
    )
    bad = """\
op.alter_column("users", "name", existing_type=sa.String(100), nullable=False)
"""
    good = """\
op.create_check_constraint("users_name_set", "users", "name IS NOT NULL", postgresql_not_valid=True)
with op.get_context().autocommit_block():
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_name_set")
op.alter_column("users", "name", existing_type=sa.String(100), nullable=False)
op.drop_constraint("users_name_set", "users", type_="check")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if (
            not isinstance(action, ir.SetNotNull)
            or not step.is_live(action.table)
            or checked_not_null(step.schema, action.table, action.column)
        ):
            return
        known = step.schema.column(action.table, action.column)
        if known is not None and known.not_null:
            return
        check = f"{action.table.rpartition('.')[2]}_{action.column}_set"
        has_default = action.existing_default or (known is not None and known.default is not None)
        late = (
            "" if has_default else " From then on the release that still serves fails where it leaves the column out."
        )
        yield Finding(
            message=f"SET NOT NULL on {action.table}.{action.column} reads every row while nobody else may read or write the table.{late}",
            help="Instead: let a check be validated first, which SET NOT NULL then trusts; release code that always writes the column before.\n"
            f"op.create_check_constraint({quoted(check)}, {quoted(action.table)}, {quoted(f'{action.column} IS NOT NULL')}, postgresql_not_valid=True)\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.execute({quoted(f'ALTER TABLE {action.table} VALIDATE CONSTRAINT {check}')})\n"
            f"op.alter_column({quoted(action.table)}, {quoted(action.column)}, nullable=False)\n"
            f'op.drop_constraint({quoted(check)}, {quoted(action.table)}, type_="check")\n'
            f"# release by release, with the backfill: {NOT_NULL}",
            hazards=("access_exclusive_long",) if has_default else self.hazards,
        )
