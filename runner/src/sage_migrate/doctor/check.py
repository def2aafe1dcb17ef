"""What a check is, and how all of them are found: each module in ``checks`` holds one."""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from sage_migrate.doctor.findings import Finding
from sage_migrate.doctor.sources import Source
from sage_migrate.lint.findings import Severity
from sage_migrate.project import Project
from sage_migrate.settings import Settings


class CannotTell(Exception):  # noqa: N818  an answer, not an error
    """Why a check has no answer."""


@dataclass(frozen=True, kw_only=True)
class Configured:
    """One call of ``context.configure()`` with a connection, as env.py made it."""

    database: str
    is_external: bool
    """Whether a transaction was open already, which Alembic then leaves alone."""
    per_migration: bool
    metadata: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """What is known of the project."""

    settings: Settings
    project: Project
    root: Path
    sources: tuple[Source, ...]
    configured: tuple[Configured, ...] = ()
    """Empty where env.py reached no database."""
    pooler: str | None = None
    """How a pooler showed itself when env.py connected."""

    @property
    def script_directory(self) -> Path:
        """Where env.py is."""
        return Path(self.project.script.dir).resolve()

    @property
    def application(self) -> Iterator[Source]:
        """The sources outside of the migration directory."""
        return (each for each in self.sources if not each.path.is_relative_to(self.script_directory))

    def shown(self, path: Path) -> str:
        """Return ``path`` as a person in the project's directory would write it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """The database on env.py's own connection, whose transactions are read-only."""

    settings: Settings
    project: Project
    connection: Connection
    context: MigrationContext
    heads: tuple[str, ...]
    metadata: tuple[Any, ...]
    app_role: str | None
    sources_name_timeouts: bool

    def rows(self, sql: str) -> list[Mapping[str, Any]]:
        """Return the rows of a query without parameters."""
        return [dict(row._mapping) for row in self.connection.exec_driver_sql(sql.replace("%", "%%"))]  # noqa: SLF001  SQLAlchemy's public name

    def schemas(self) -> tuple[str, ...]:
        """Return those of the schemas that the migrations fill, of version table and models, that are there."""
        (default,) = self.rows("SELECT current_schema() AS name")
        version_table = self.context.version_table_schema or default["name"] or "public"
        models = {table.schema or version_table for each in self.metadata for table in each.tables.values()}
        there = {row["nspname"] for row in self.rows("SELECT nspname FROM pg_namespace")}
        return tuple(sorted({version_table, *models} & there))


class Check(ABC):
    """One question; its name is its module's."""

    severity: ClassVar[Severity] = "warning"

    @property
    def name(self) -> str:
        """What is wrong where it finds something."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @abstractmethod
    def check(self, facts: Any) -> Iterator[Finding]:
        """Yield what is wrong.

        Raises:
            CannotTell: with the reason.
        """

    def finding(
        self,
        message: str,
        fix: str,
        *,
        severity: Severity | None = None,
        path: str | None = None,
        line: int | None = None,
    ) -> Finding:
        """Return a finding of this check."""
        return Finding(
            check=self.name, severity=severity or self.severity, message=message, fix=fix, path=path, line=line
        )


class ProjectCheck(Check):
    """Asks the project's files, and what env.py did."""

    @abstractmethod
    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield what is wrong, as `Check.check`."""


class DatabaseCheck(Check):
    """Asks the database."""

    @abstractmethod
    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield what is wrong, as `Check.check`."""


@cache
def all_checks() -> tuple[Check, ...]:
    """Return one of each check, by name."""
    from sage_migrate.doctor import checks

    found: list[Check] = []
    for module in pkgutil.iter_modules(checks.__path__):
        loaded = importlib.import_module(f"{checks.__name__}.{module.name}")
        found += [
            each()
            for _, each in inspect.getmembers(loaded, inspect.isclass)
            if issubclass(each, Check) and each.__module__ == loaded.__name__ and not inspect.isabstract(each)
        ]
    return tuple(sorted(found, key=lambda check: check.name))
