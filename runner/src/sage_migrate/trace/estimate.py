"""What a statement would take at the sizes of production: a range, with its assumption.

Bounds in bytes a second that ordinary servers keep between: a slow network disk, and memory on a fast machine. They are
assumptions, not measurements, and told with every estimate.
"""

from sage_migrate.stats.sizes import Sizes
from sage_migrate.timeline.words import spell_seconds
from sage_migrate.trace.results import Statement

_READ = (50e6, 1000e6)
_WRITE = (20e6, 300e6)
_ROWS_WRITTEN = (5_000.0, 100_000.0)
_NOTICEABLE_SECONDS = 0.1


def estimate(statement: Statement, sizes: Sizes) -> str:
    """Return how long the statement's work takes in production; empty where it is none in proportion to a known table."""
    least = most = 0.0
    told = []
    for name in dict.fromkeys((*statement.rewrites, *statement.scans, *(statement.rows_written or {}))):
        size = sizes.find(name)
        if size is None:
            continue
        if name in statement.rewrites:
            low, high, what = *_range(size.table_bytes + size.index_bytes, _WRITE), "20 to 300 MB/s written"
        elif name in statement.scans and not statement.indexes_built and name not in (statement.rows_written or {}):
            low, high, what = *_range(size.table_bytes, _READ), "50 to 1000 MB/s read"
        elif statement.indexes_built:
            low, high, what = *_range(size.table_bytes, _WRITE), "an index of 20 to 300 MB of its table a second"
        elif name in statement.scans and size.rows:
            low, high, what = *_range(size.rows, _ROWS_WRITTEN), "5,000 to 100,000 rows written a second"
        else:
            continue
        least, most = least + low, most + high
        told.append(f"{size}; {what}")
    if not told or most < _NOTICEABLE_SECONDS:
        return ""
    return f"at production's size {spell_seconds(least)} to {spell_seconds(most)} ({'; '.join(told)})"


def _range(amount: float, rates: tuple[float, float]) -> tuple[float, float]:
    slow, fast = rates
    return amount / fast, amount / slow
