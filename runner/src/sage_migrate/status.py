"""Where the database is in the project's history, without changing anything."""

from dataclasses import asdict, dataclass

from sage_migrate.interruption import Interruption
from sage_migrate.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer: revisions by id, ``state`` one of ``at-head``, ``pending``, ``ahead``, ``unknown``."""

    state: str
    current: tuple[str, ...]
    head: tuple[str, ...]
    pending: tuple[str, ...]
    reason: str = ""

    @property
    def exit_status(self) -> int:
        """0 at head or known ahead, 3 pending, 21 at a revision that is not known."""
        return {"at-head": 0, "ahead": 0, "pending": 3, "unknown": 21}[self.state]

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return it for a person."""
        lines = [
            f"state    {self.state}{f' ({self.reason})' if self.reason else ''}",
            f"current  {', '.join(self.current) or '(none)'}",
            f"head     {', '.join(self.head) or '(none)'}",
        ]
        return "\n".join([*lines, *(f"pending  {revision}" for revision in self.pending)])


def read_status(settings: Settings, interruption: Interruption) -> Status:
    """Ask the database through the project's own env.py.

    Raises:
        GateError: the database cannot be reached, or the history is broken.
    """
    raise NotImplementedError
