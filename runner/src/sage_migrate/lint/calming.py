"""What production's table sizes change of a finding: work in proportion to a small table is advice."""

from dataclasses import replace

from sage_migrate.lint.analysis import Step
from sage_migrate.lint.findings import Violation
from sage_migrate.stats.sizes import Sizes

_IN_PROPORTION = frozenset(("access_exclusive_long", "blocks_writes_long", "fk_two_table_lock", "unbounded_backfill"))


def weigh(violation: Violation, step: Step, sizes: Sizes) -> Violation:
    """Return the finding with the sizes of the tables that are worked on; a warning where all of them are small."""
    if not _IN_PROPORTION & {*violation.hazards}:
        return violation
    worked_on = {work.table for work in step.effects.work} or {step.action.table}
    known = [size for table in sorted(worked_on) if (size := sizes.find(table))]
    if not known:
        return violation
    calm = (
        violation.severity == "error"
        and _IN_PROPORTION.issuperset(violation.hazards)
        and len(known) == len(worked_on)
        and all(size.is_small for size in known)
    )
    told = " ".join(f"({size}.)" for size in known)
    return replace(violation, message=f"{violation.message} {told}", severity="warning" if calm else violation.severity)
