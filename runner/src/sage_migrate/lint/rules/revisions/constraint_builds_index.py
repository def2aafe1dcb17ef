"""A unique, primary key or exclusion constraint builds its index under ACCESS EXCLUSIVE."""
# ruff: noqa: E501  a message is a sentence that is found whole

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, listed, quoted, table_arguments


class ConstraintBuildsIndex(StepRule):
    """A unique, primary key or exclusion constraint is added to a live table and builds its own index."""

    code = "SM106"
    hazards = ("access_exclusive_long",)
    condition = "A unique, primary key or exclusion constraint is added to a live table and builds its own index."
    effect = "The index is built while ACCESS EXCLUSIVE is held: nobody reads or writes the table meanwhile."
    workaround = "Build a unique index CONCURRENTLY, then make the constraint of it with USING INDEX."
    bad = """\
op.create_unique_constraint("uq_sessions_token", "sessions", ["token"])
"""
    good = """\
with op.get_context().autocommit_block():
    op.create_index("uq_sessions_token", "sessions", ["token"], unique=True, postgresql_concurrently=True)
op.execute("ALTER TABLE sessions ADD CONSTRAINT uq_sessions_token UNIQUE USING INDEX uq_sessions_token")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        constraint = None
        match action:
            case ir.AddConstraint(
                constraint=ir.Constraint(kind="unique" | "primary key" | "exclusion", using_index=None)
            ):
                constraint = action.constraint
            case ir.AddColumn():
                constraint = next(
                    (each for each in action.column.constraints if each.kind in ("unique", "primary key", "exclusion")),
                    None,
                )
        if constraint is None or not step.is_live(action.table):
            return
        bare = action.table.rpartition(".")[2]
        name = constraint.name or (
            "_".join((bare, *constraint.columns, "key")) if constraint.kind != "primary key" else f"{bare}_pkey"
        )
        help_text = (
            "Instead: an exclusion constraint cannot be made of an index; add it to a new table, and move the rows over in batches."
            if constraint.kind == "exclusion"
            else "Instead: build the index concurrently, then make the constraint of it.\n"
            "with op.get_context().autocommit_block():\n"
            f"    op.create_index({quoted(name)}, {table_arguments(action.table)}, {listed(constraint.columns)}, unique=True, postgresql_concurrently=True)\n"
            f"{MAY_BE_LEFT}\n"
            f"op.execute({quoted(f'ALTER TABLE {action.table} ADD CONSTRAINT {name} {constraint.kind.upper()} USING INDEX {name}')})"
        )
        yield Finding(
            message=f"The {constraint.kind} constraint {name} builds its index while nobody else may read or write {action.table}.",
            help=help_text,
        )
