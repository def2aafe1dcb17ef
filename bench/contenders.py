"""The tools that are compared: how each is given a history, and how it is started."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.go_tools import go_tool
from bench.migration_run import Command, clean_environment
from bench.scenarios import Scenario

_INI = """[alembic]
script_location = %(here)s
path_separator = os
sqlalchemy.url = {url}
"""
# The synchronous env.py of `alembic init`, without what it does for logging and offline mode.
_ENV = """from alembic import context
from sqlalchemy import engine_from_config, pool

section = context.config.get_section(context.config.config_ini_section, {})
engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_REVISION = """import time

from alembic import op

revision = "{number}"
down_revision = {before!r}


def upgrade() -> None:
    op.execute({sql!r})
    time.sleep({think_seconds})
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One tool. ``start(directory, url, target)`` tells how to bring a database to the target, None for the newest."""

    name: str
    title: str
    write: Callable[[Path, str, Scenario], None]
    start: Callable[[Path, str, int | None], Command]


def contenders() -> dict[str, Contender]:
    """Return all tools by name, the two of Go built if they are not yet."""
    return {
        contender.name: contender
        for contender in (
            Contender(name="alembic", title="alembic", write=_write_alembic, start=_start_alembic),
            Contender(
                name="lock-timeout",
                title="alembic, lock_timeout 2 s",
                write=_write_alembic,
                start=_start_alembic_with_lock_timeout,
            ),
            Contender(name="goose", title="goose", write=_write_goose, start=_start_goose),
            Contender(name="migrate", title="golang-migrate", write=_write_migrate, start=_start_migrate),
            Contender(name="gate", title="sage-migrate", write=_write_alembic, start=_start_gate),
        )
    }


def _write_alembic(directory: Path, url: str, scenario: Scenario) -> None:
    versions = directory / "versions"
    versions.mkdir()
    (directory / "alembic.ini").write_text(_INI.format(url=_alembic_url(url)))
    (directory / "env.py").write_text(_ENV)
    for number, sql in enumerate(scenario.revisions, 1):
        (versions / f"{number:04}.py").write_text(
            _REVISION.format(
                number=f"{number:04}",
                before=f"{number - 1:04}" if number > 1 else None,
                sql=sql,
                think_seconds=scenario.think_seconds,
            )
        )


def _write_goose(directory: Path, _url: str, scenario: Scenario) -> None:
    for number, sql in enumerate(scenario.revisions, 1):
        (directory / f"{number:04}_revision.sql").write_text(f"-- +goose Up\n{_script(sql, scenario)}")


def _write_migrate(directory: Path, _url: str, scenario: Scenario) -> None:
    for number, sql in enumerate(scenario.revisions, 1):
        (directory / f"{number:04}_revision.up.sql").write_text(_script(sql, scenario))


def _script(sql: str, scenario: Scenario) -> str:
    thinking = f"SELECT pg_sleep({scenario.think_seconds});\n" if scenario.think_seconds else ""
    return f"{sql};\n{thinking}"


def _start_alembic(directory: Path, _url: str, target: int | None) -> Command:
    return Command(
        arguments=(sys.executable, "-m", "alembic", "upgrade", _alembic_target(target)),
        directory=directory,
        environment=clean_environment(),
    )


def _start_alembic_with_lock_timeout(directory: Path, url: str, target: int | None) -> Command:
    return Command(
        arguments=_start_alembic(directory, url, target).arguments,
        directory=directory,
        environment=clean_environment(PGOPTIONS="-c lock_timeout=2s"),
    )


def _start_goose(directory: Path, url: str, target: int | None) -> Command:
    up = ("up",) if target is None else ("up-to", str(target))
    return Command(
        arguments=(go_tool("goose"), "-dir", directory, "postgres", f"{url}?sslmode=disable", *up),
        directory=directory,
        environment=clean_environment(),
    )


def _start_migrate(directory: Path, url: str, target: int | None) -> Command:
    up = ("up",) if target is None else ("goto", str(target))
    database = f"{url.replace('postgresql://', 'pgx5://')}?sslmode=disable"
    return Command(
        arguments=(go_tool("migrate"), "-path", directory, "-database", database, *up),
        directory=directory,
        environment=clean_environment(),
    )


def _start_gate(directory: Path, url: str, target: int | None) -> Command:
    return Command(
        arguments=(sys.executable, "-m", "sage_migrate", "--log-format", "json", "upgrade", _alembic_target(target)),
        directory=directory,
        environment=clean_environment(DATABASE_URL=_alembic_url(url)),
    )


def _alembic_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _alembic_target(target: int | None) -> str:
    return "head" if target is None else f"{target:04}"
