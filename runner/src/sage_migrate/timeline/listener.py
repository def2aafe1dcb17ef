"""What a run tells of itself while it goes. `RunListener` keeps nothing; `sage_migrate.timeline.recorder` does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.script import Script

    from sage_migrate.declarations import Declaration
    from sage_migrate.errors import GateError
    from sage_migrate.gate import Gate
    from sage_migrate.lock_waits import LockWaits
    from sage_migrate.report import Report
    from sage_migrate.session import Session


class RunListener:
    """Hear what a run does, and keep nothing of it: what a run without ``--report`` has."""

    look_seconds = float("inf")
    """How often it wants to see who waits for the migration."""

    def begin_revision(self, script: "Script", declaration: "Declaration", *, version_table: str) -> None:
        """Hear that a try of a revision begins."""

    def end_revision(self) -> None:
        """Hear that the revision's transaction has ended well."""

    def begin_statement(self, sql: str) -> None:
        """Hear that a statement is sent on the migration's connection."""

    def end_statement(self, gate: "Gate") -> None:
        """Hear that the statement has ended well; its transaction is open and idle until this returns."""

    def commit_sent(self, gate: "Gate") -> None:
        """Hear that COMMIT is about to be sent."""

    def rolled_back(self) -> None:
        """Hear that a transaction was rolled back, and its locks with it."""

    def try_failed(self, sqlstate: str, blockers: Sequence[Mapping[str, object]]) -> None:
        """Hear that the revision did not get a lock, and who was in the way; it now waits for those."""

    async def look(self, session: "Session", pid: int, waits: "LockWaits") -> None:
        """Look at who waits for the migration, which is the server process ``pid``."""

    def write(self, report: "Report", error: "GateError | None" = None) -> None:
        """Write the files, at the end of the run."""
