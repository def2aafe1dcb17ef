"""Where the database is in the project's history, and what a run would do; nothing is changed."""

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext

from sage_migrate.failures import Circumstances, explain
from sage_migrate.gate import Gate
from sage_migrate.interruption import Interruption
from sage_migrate.logs import adopt_standard_logging, log
from sage_migrate.preflight.position import read_position
from sage_migrate.project import Project, load_project, offer_url
from sage_migrate.session import connect_by_url
from sage_migrate.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Status:
    """The answer: revisions by id, ``state`` one of ``at-head``, ``pending``, ``ahead``, ``unknown``."""

    state: str
    current: tuple[str, ...]
    head: tuple[str, ...]
    pending: tuple[str, ...] = ()
    reason: str = ""
    backfilled_rows: dict[str, int] = field(default_factory=dict)
    """Of each pending revision whose backfill was begun, how many rows it has set."""
    online: tuple[str, ...] = ()
    """The pending revisions that a release may leave to an online run."""

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
            f"state    {self.state}",
            f"current  {', '.join(self.current) or '(none)'}",
            f"head     {', '.join(self.head) or '(none)'}",
            *(f"pending  {revision}{self._progress(revision)}" for revision in self.pending),
        ]
        return "\n".join([*lines, f"reason   {self.reason}"] if self.reason else lines)

    def _progress(self, revision: str) -> str:
        rows = self.backfilled_rows.get(revision)
        told = [
            *(["online"] if revision in self.online else []),
            *([] if rows is None else [f"its backfill has set {rows} rows"]),
        ]
        return f"  ({', '.join(told)})" if told else ""


def read_status(settings: Settings, interruption: Interruption, target: str = "heads") -> Status:
    """Ask the database, through the project's own env.py.

    Raises:
        GateError: the database cannot be reached, or the history is broken.
    """
    project = load_project(settings)
    return ask_status(settings, project, interruption, target)


def dry_run(settings: Settings, interruption: Interruption, target: str) -> Status:
    """Log what `upgrade` would do, and its SQL as far as Alembic can render it without a database.

    Raises:
        GateError: the database cannot be reached, or the history is broken.
    """
    project = load_project(settings)
    status = ask_status(settings, project, interruption, target)
    declared = [{"revision": revision, "phase": project.declaration(revision).phase} for revision in status.pending]
    log.info("plan", dry_run=True, state=status.state, current=status.current, target=target, pending=declared)
    for before, revision in zip((*status.current[:1], *status.pending), status.pending, strict=False):
        _render(project, before if before != revision else "base", revision)
    return status


def ask_status(settings: Settings, project: Project, interruption: Interruption, target: str = "heads") -> Status:
    """Return where the database of ``settings`` is, by the env.py of a project that is read already.

    Raises:
        GateError: the database cannot be reached, or env.py failed.
    """
    head = project.resolve(target) or project.heads
    offer_url(settings, project)
    with Gate(settings, interruption) as gate:
        if settings.database_url is not None:
            gate.connect_session(connect_by_url(settings), "sage-migrate status")
        found: list[Status] = []

        def look(heads: tuple[str, ...], context: MigrationContext) -> list[Any]:
            unknown = set(heads) - set(project.scripts)
            lineage = read_position(heads, context, dict).lineage
            if unknown:
                problem = lineage.why_not_ahead(heads, head)
                found.append(
                    Status(state="unknown" if problem else "ahead", current=heads, head=head, reason=problem or "")
                )
            else:
                steps = project.script._upgrade_revs(target, heads)  # type: ignore[arg-type]  # noqa: SLF001  as alembic.command
                pending = tuple(step.revision.revision for step in steps)
                state = "pending" if pending else "at-head"
                rows = {name: mark.rows for name, mark in lineage.backfills.items() if name in pending}
                online = tuple(revision for revision in pending if project.declaration(revision).online)
                found.append(
                    Status(state=state, current=heads, head=head, pending=pending, backfilled_rows=rows, online=online)
                )
            return []

        try:
            with EnvironmentContext(project.config, project.script, fn=look, dont_mutate=True, destination_rev=target):
                project.run_env()
            return found[0]
        except (Exception, SystemExit) as error:
            raise explain(error, _circumstances(settings, project)) from error
        finally:
            adopt_standard_logging()


def _render(project: Project, before: str, revision: str) -> None:
    """Log one revision's SQL; some revisions need a connection and say so."""
    output = io.StringIO()
    project.config.output_buffer = output
    try:
        with EnvironmentContext(
            project.config,
            project.script,
            fn=lambda heads, _context: project.script._upgrade_revs(revision, heads),  # noqa: SLF001  as alembic.command
            as_sql=True,
            starting_rev=None if before == "base" else before,
            destination_rev=revision,
        ):
            project.run_env()
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a revision raises without a connection
        log.warning("sql_not_rendered", revision=revision, reason=f"{type(error).__name__}: {error}")
    else:
        log.info("sql", revision=revision, sql=output.getvalue())


def _circumstances(settings: Settings, project: Project) -> Circumstances:
    return Circumstances(
        revision=None,
        statement="",
        statement_seconds=0.0,
        statement_timeout=settings.statement_timeout,
        connected=False,
        script_directory=Path(project.script.dir).resolve(),
        show_literals=settings.show_literals,
    )
