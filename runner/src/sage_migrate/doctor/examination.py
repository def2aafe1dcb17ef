"""Make every check that can be made: read the project, run env.py read-only, ask each check."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from sage_migrate.doctor.check import (
    CannotTell,
    Check,
    Configured,
    DatabaseCheck,
    DatabaseFacts,
    ProjectCheck,
    ProjectFacts,
    all_checks,
)
from sage_migrate.doctor.env_run import BehindPoolerError, WritesError, run_env
from sage_migrate.doctor.findings import Diagnosis, Finding, NotChecked
from sage_migrate.doctor.sources import Source, read_sources
from sage_migrate.errors import AccessRefusedError, DatabaseUnreachableError, GateError, HistoryBrokenError
from sage_migrate.failures import server_message
from sage_migrate.project import Project, load_project
from sage_migrate.redact import redact
from sage_migrate.settings import Settings

_TIMEOUTS = re.compile(
    r"\b(?:statement_timeout|idle_in_transaction_session_timeout|transaction_timeout|command_timeout)\b"
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a run."""

    settings: Settings
    app_role: str | None = None
    ignore: frozenset[str] = frozenset()


def examine(order: Order) -> Diagnosis:
    """Return all findings, and the checks that could not be made.

    Raises:
        UsageError: there is no project to read.
    """
    checks = [check for check in all_checks() if check.name not in order.ignore]
    try:
        project = load_project(order.settings)
    except HistoryBrokenError as error:
        reason = "the history does not load"
        return Diagnosis(
            findings=[Finding(check="history-broken", severity="error", message=error.what, fix=error.remedy)],
            not_checked=[NotChecked(check=check.name, reason=reason) for check in checks],
        )
    return _Examination(order, project, checks).run()


class _Examination:
    def __init__(self, order: Order, project: Project, checks: list[Check]) -> None:
        self._order, self._project = order, project
        self._for_project = [check for check in checks if isinstance(check, ProjectCheck)]
        self._for_database = [check for check in checks if isinstance(check, DatabaseCheck)]
        self._root = order.settings.config_file.parent.resolve()
        self._sources: tuple[Source, ...] = read_sources(self._root)
        # Dictionaries, since several databases may show the same.
        self._findings: dict[Finding, None] = {}
        self._not_checked: dict[NotChecked, None] = {}
        self._has_looked = False

    def run(self) -> Diagnosis:
        configured, pooler = self._run_env()
        facts = ProjectFacts(
            settings=self._order.settings,
            project=self._project,
            root=self._root,
            sources=self._sources,
            configured=configured,
            pooler=pooler,
        )
        for check in self._for_project:
            self._ask(check, lambda check=check: check.check(facts))
        order = {"error": 0, "warning": 1, "note": 2}
        return Diagnosis(
            findings=sorted(self._findings, key=lambda each: (order[each.severity], each.check)),
            not_checked=sorted(self._not_checked, key=lambda each: each.check),
        )

    def _run_env(self) -> tuple[tuple[Configured, ...], str | None]:
        """Run env.py; where that cannot be done, note why the database's checks were not made."""
        reason, pooler = "env.py ran no migrations", None
        configured: tuple[Configured, ...] = ()
        try:
            configured = run_env(self._order.settings, self._project, self._look)
        except BehindPoolerError:
            pooler = "the server process that answers is another one than was promised when env.py connected"
            reason = "env.py connects through a pooler, where no session can be made read-only"
        except WritesError as error:
            reason = f"env.py changes the database before it migrates, and doctor lets nothing be changed: {error}"
        except (DatabaseUnreachableError, AccessRefusedError) as error:
            reason = error.what
        except GateError as error:
            if self._order.settings.database_url is None:
                reason = f"no database is named (DATABASE_URL), and env.py alone found none: {error.what}"
            else:
                reason = "env.py failed"
                self._findings[Finding(check="env-fails", severity="error", message=error.what, fix=error.remedy)] = (
                    None
                )
        if not self._has_looked:
            for check in self._for_database:
                self._not_checked[NotChecked(check=check.name, reason=reason.rstrip("."))] = None
        return configured, pooler

    def _look(
        self, connection: Connection, context: MigrationContext, heads: tuple[str, ...], metadata: tuple[Any, ...]
    ) -> None:
        """Ask the checks of the database, on env.py's own connection."""
        self._has_looked = True
        application = (each for each in self._sources if not each.path.is_relative_to(Path(self._project.script.dir)))
        facts = DatabaseFacts(
            settings=self._order.settings,
            project=self._project,
            connection=connection,
            context=context,
            heads=heads,
            metadata=metadata,
            app_role=self._order.app_role,
            sources_name_timeouts=any(_TIMEOUTS.search(each.text) for each in application),
        )
        for check in self._for_database:
            # A savepoint: a query that fails must not spoil the checks after it.
            def ask(check: DatabaseCheck = check) -> Iterator[Finding]:
                with connection.begin_nested():
                    yield from check.check(facts)

            self._ask(check, ask)

    def _ask(self, check: Check, ask: Any) -> None:
        try:
            for finding in ask():
                self._findings[finding] = None
        except CannotTell as why:
            self._not_checked[NotChecked(check=check.name, reason=str(why))] = None
        except Exception as error:  # noqa: BLE001  a check that breaks on an unusual project must not hide the others
            self._not_checked[NotChecked(check=check.name, reason=redact(server_message(error)))] = None
