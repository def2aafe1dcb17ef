"""A unique constraint or index is dropped."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import CONTRACT, quoted


class UniqueDropped(StepRule):
    """A unique constraint or index of a live table is dropped, and none on the same columns takes its place."""

    code = "SM124"
    hazards = ("old_code_breaks",)
    condition = "A unique constraint or index of a live table is dropped, and none on the same columns takes its place."
    effect = "ON CONFLICT on its columns fails in the release that still serves; and duplicates can come in."
    workaround = (
        "Make the new constraint first, release code that uses it, then drop the old one in a contract revision."
    )
    bad = """\
op.drop_constraint("uq_users_email", "users", type_="unique")
"""
    good = """\
with op.get_context().autocommit_block():
    op.create_index("uq_users_email_lower", "users", ["email_lower"], unique=True, postgresql_concurrently=True)
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, (ir.DropConstraint, ir.DropIndex)) or step.analysis.first or step.analysis.contract:
            return
        found = _unique(step)
        if found is None:
            return
        table, columns = found
        if table and not step.is_live(table):
            return
        if any(_same(each, table, columns, action.name) for each in step.analysis.actions()):
            return
        yield Finding(
            message=f"ON CONFLICT on the columns of {action.name} fails in the release that still serves, and duplicates can come in.",
            help="Instead: make what replaces it first, release code that relies on that, and drop this one in a later revision.\n"
            f"{CONTRACT}\n"
            + (
                f'op.drop_constraint({quoted(action.name)}, {quoted(table)}, type_="unique")'
                if isinstance(action, ir.DropConstraint)
                else f"op.drop_index({quoted(action.name)})"
            ),
        )


def _unique(step: Step) -> tuple[str, tuple[str, ...]] | None:
    """Return table and columns (none where unknown) of what is dropped, None where it is not unique."""
    action = step.action
    for schema in (step.schema, step.analysis.before):
        owner = action.table or (schema.index_owner(action.name) if isinstance(action, ir.DropIndex) else None) or ""
        known = schema.tables.get(owner)
        if known is None:
            continue
        constraint = known.constraints.get(getattr(action, "name", ""))
        if constraint is not None:
            return (owner, constraint.columns) if constraint.kind == "unique" else None
        index = known.indexes.get(getattr(action, "name", ""))
        if index is not None:
            return (owner, index.columns) if index.unique else None
    name = getattr(action, "name", "")
    if isinstance(action, ir.DropConstraint):
        by_name = action.kind is None and (
            name.startswith(("uq_", "uix_", "unique_")) or name.endswith(("_key", "_uniq", "_unique", "_uq"))
        )
        return (action.table, ()) if action.kind == "unique" or by_name else None
    return (
        (action.table, ())
        if name.startswith(("uq_", "uix_", "unique_")) or name.endswith(("_uniq", "_unique", "_uq", "_key"))
        else None
    )


def _same(action: ir.Action, table: str, columns: tuple[str, ...], name: str) -> bool:
    match action:
        case ir.CreateIndex(unique=True, partial=False):
            made = action.columns
        case ir.AddConstraint(constraint=ir.Constraint(kind="unique", using_index=str() as index) as constraint) if (
            index
        ):
            return action.table == table and constraint.name == name
        case ir.AddConstraint(constraint=ir.Constraint(kind="unique" | "primary key") as constraint):
            made = constraint.columns
        case _:
            return False
    return action.table == table and bool(columns) and set(made) == set(columns)
