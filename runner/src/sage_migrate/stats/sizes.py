"""The file of table sizes: how it is read, which tables are small, and what their columns are like."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError

FORMAT = 1
SMALL_BYTES = 10_000_000
"""With its indexes. To read, write or index that much takes well below the stall budget of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnShape:
    """What PostgreSQL's statistics say of a column, without any of its values."""

    null_frac: float
    avg_width: int
    """In bytes, of those that are not NULL."""
    n_distinct: float
    """As in pg_stats: a number of values, or, below 0, their share of the rows with the sign turned."""

    def distinct_among(self, rows: int) -> int:
        """Return how many different values so many rows have."""
        wanted = -self.n_distinct * rows if self.n_distinct < 0 else self.n_distinct
        return max(1, min(rows, round(wanted))) if wanted else rows


@dataclass(frozen=True, kw_only=True, slots=True)
class TableSize:
    """One table of production."""

    schema: str
    name: str
    rows: int | None
    """None: never analyzed."""
    table_bytes: int
    index_bytes: int
    writes_per_second: float | None
    columns: Mapping[str, ColumnShape] = field(default_factory=dict, hash=False)
    """Those of which there are statistics that the role might read."""

    @property
    def is_small(self) -> bool:
        """Whether work in proportion to the table is over before anybody minds."""
        return self.table_bytes + self.index_bytes <= SMALL_BYTES

    def __str__(self) -> str:
        """Describe it."""
        size = _bytes(self.table_bytes + self.index_bytes)
        parts = [f"{size} with its indexes" if self.rows is None else f"about {self.rows:,} rows, {size} with indexes"]
        if self.writes_per_second is not None:
            parts.append(f"{self.writes_per_second:,.1f} rows written a second")
        return f"{self.name} in production: {', '.join(parts)}"


class Sizes:
    """Production's tables, by name."""

    def __init__(self, tables: Iterable[TableSize]) -> None:
        """Keep them under their names with and without the schema."""
        self._by_name: dict[str, list[TableSize]] = {}
        for table in tables:
            for name in (table.name, f"{table.schema}.{table.name}"):
                self._by_name.setdefault(name, []).append(table)

    def find(self, name: str) -> TableSize | None:
        """Return a table by its name, qualified or not: of several of one name the biggest."""
        return max(self._by_name.get(name, ()), key=lambda each: each.table_bytes + each.index_bytes, default=None)


def read_sizes(path: Path) -> Sizes:
    """Return what the file tells.

    Raises:
        UsageError: it cannot be read, or is none of `sage-migrate stats`.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise UsageError(
                f"{path} has format {content['format']}; this sage-migrate reads format {FORMAT}.",
                remedy="Make it anew with sage-migrate stats.",
            )
        return Sizes([_read(each) for each in content["tables"]])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no file of sage-migrate stats.", remedy="Make it with sage-migrate stats --output FILE."
        ) from error


def _read(table: dict[str, Any]) -> TableSize:
    rows, rate = table["rows"], table["writes_per_second"]
    return TableSize(
        schema=str(table["schema"]),
        name=str(table["name"]),
        rows=None if rows is None else int(rows),
        table_bytes=int(table["table_bytes"]),
        index_bytes=int(table["index_bytes"]),
        writes_per_second=None if rate is None else float(rate),
        columns={
            str(each["name"]): ColumnShape(
                null_frac=float(each["null_frac"]),
                avg_width=int(each["avg_width"]),
                n_distinct=float(each["n_distinct"]),
            )
            for each in table.get("columns", ())
        },
    )


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004  SI's step
            return f"{count:.0f} {unit}" if unit in ("bytes", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
