"""A review of one revision, wherever it was read from, and what it has to say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECTION = "Migration review"
FACTS = ("content", "author", "locks", "work", "hazards", "trace")
"""What the tool writes: the lines of the fenced block."""
DOES, OLD_CODE, TABLES, ROLLBACK, PLAN, REVIEWER = "Does", "Old code", "Tables", "Rollback", "Plan", "Reviewer"
FIELDS = (DOES, OLD_CODE, TABLES, ROLLBACK, PLAN, REVIEWER)
"""What a person writes."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of a person's; ``name`` is a field, a hazard, or nothing for an item of a checklist."""

    name: str
    text: str
    line: int
    is_open: bool = False
    """An empty box stands before it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A review."""

    revision: str
    path: Path
    line: int
    facts: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    last_line: int = 0
    """Of the entry, 1-based; where the next begins is after it."""
    facts_lines: tuple[int, int] | None = None
    """First and last line of the fenced block."""

    def item(self, name: str) -> Item | None:
        """Return the item of that name."""
        return next((each for each in self.items if each.name == name), None)

    @property
    def content(self) -> str:
        """The hash of what was reviewed."""
        return self.facts.get("content", "")

    @property
    def hazards(self) -> tuple[str, ...]:
        """The hazards that it names."""
        words = self.facts.get("hazards", "").replace(";", ",").split(",")
        return tuple(word for each in words if (word := each.partition("(")[0].strip()) and word != "none")


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """What stands in a file of reviews and cannot be read."""

    path: Path
    line: int
    message: str
    help: str = ""
