"""The command `sage-migrate doctor`: reads its settings, examines, prints, and tells the exit status."""

import argparse
import os
import sys
import tomllib
from typing import Any

from sage_migrate.database_url import parse_database_url
from sage_migrate.errors import UsageError
from sage_migrate.lint.findings import SEVERITIES
from sage_migrate.settings import Settings, read_settings

_KEYS = {"app-role", "fail-on", "ignore"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--fail-on", choices=("error", "warning"), help="the least severity that ends in status 1 (default: warning)"
    )
    parser.add_argument(
        "--app-role",
        metavar="ROLE",
        help="the role that the application connects as (default: the user of DATABASE_URL, where SAGE_MIGRATE_DATABASE_URL "
        "names another one)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine the project as the command line and pyproject.toml say; 0 nothing found, 1 findings.

    Raises:
        UsageError: there is no project, or a setting cannot be used.
    """
    from sage_migrate.doctor.check import all_checks
    from sage_migrate.doctor.examination import Order, examine
    from sage_migrate.doctor.output import FORMATS

    settings = read_settings(arguments)
    config = _config(settings)
    ignore = frozenset(config.get("ignore", ()))
    names = {check.name for check in all_checks()}
    if unknown := sorted(ignore - names):
        raise UsageError(
            f"[tool.sage-migrate.doctor] ignores {', '.join(unknown)}, which is no check.",
            remedy=f"The checks: {', '.join(sorted(names))}.",
        )
    fail_on = arguments.fail_on or config.get("fail-on", "warning")
    if fail_on not in SEVERITIES:
        raise UsageError(f"'{fail_on}' is no severity.", remedy=f"One of {', '.join(SEVERITIES)}.")
    app_role = arguments.app_role or config.get("app-role") or _other_user(settings)
    diagnosis = examine(Order(settings=settings, app_role=app_role, ignore=ignore))
    sys.stdout.write(f"{FORMATS[arguments.format](diagnosis)}\n")
    limit = SEVERITIES.index(fail_on)
    return int(any(SEVERITIES.index(each.severity) >= limit for each in diagnosis.findings))


def _config(settings: Settings) -> dict[str, Any]:
    file = settings.config_file.with_name("pyproject.toml")
    found = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}  # read_settings has read it already
    config: dict[str, Any] = found.get("tool", {}).get("sage-migrate", {}).get("doctor", {})
    if unknown := sorted(set(config) - _KEYS):
        raise UsageError(
            f"[tool.sage-migrate.doctor] has no setting {', '.join(unknown)}.",
            remedy=f"The settings: {', '.join(sorted(_KEYS))}.",
        )
    return config


def _other_user(settings: Settings) -> str | None:
    """Return the application's own user, where the migration has a URL of its own."""
    try:
        app = parse_database_url(os.environ.get("DATABASE_URL", "")).user
    except ValueError:
        return None
    return app if settings.database_url is not None and app != settings.database_url.user else None
