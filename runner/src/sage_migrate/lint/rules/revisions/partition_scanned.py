"""ATTACH PARTITION, or a new partition, scans rows under ACCESS EXCLUSIVE."""

from collections.abc import Iterator

from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Step
from sage_migrate.lint.rule import Finding, StepRule
from sage_migrate.lint.wording import MAY_BE_LEFT, quoted


class PartitionScanned(StepRule):
    """A live table without a validated check of its bounds is attached as a partition, or a default partition has to be searched."""

    code = "SM121"
    hazards = ("access_exclusive_long",)
    condition = (
        "A live table without a validated check of its bounds is attached as a partition, or a default "
        "partition has to be searched."
    )
    effect = "Every row is read while ACCESS EXCLUSIVE is held."
    workaround = "Add a check of the bounds NOT VALID, validate it, attach, drop the check."
    bad = """\
op.execute("ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
"""
    good = """\
op.execute("ALTER TABLE events_2025 ADD CONSTRAINT y2025 CHECK (at >= '2025-01-01' AND at < '2026-01-01') NOT VALID")
with op.get_context().autocommit_block():
    op.execute("ALTER TABLE events_2025 VALIDATE CONSTRAINT y2025")
op.execute("ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")
"""

    def check(self, step: Step) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        action = step.action
        if not isinstance(action, (ir.AttachPartition, ir.CreateTable)) or (
            isinstance(action, ir.CreateTable) and not action.partition_of
        ):
            return
        scanned = [work.table for work in step.effects.work]
        if scanned:
            yield Finding(
                message=f"Every row of {scanned[0]} is read to prove the bounds, while nobody else may read or write it.",
                help="Instead: let a check prove the bounds before.\n"
                f"op.execute({quoted(f'ALTER TABLE {scanned[0]} ADD CONSTRAINT {scanned[0]}_bounds CHECK (…) NOT VALID')})\n"
                "with op.get_context().autocommit_block():\n"
                f"    op.execute({quoted(f'ALTER TABLE {scanned[0]} VALIDATE CONSTRAINT {scanned[0]}_bounds')})\n"
                f"{MAY_BE_LEFT}",
            )
