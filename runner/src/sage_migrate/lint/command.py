"""The command `sage-migrate lint`: reads its settings, runs, prints, and tells the exit status."""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.lint.findings import SEVERITIES

_KEYS = {"ignore", "severity", "fail-on", "since", "exclude", "paths", "stats"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="revisions, or directories of them (default: here)")
    parser.add_argument("--format", choices=("text", "json", "github", "sarif"), default="text")
    parser.add_argument(
        "--fail-on", choices=("error", "warning"), help="the least severity that ends in status 1 (default: error)"
    )
    parser.add_argument(
        "--since", metavar="REVISION", help="the last released one: it and those before it are not linted"
    )
    parser.add_argument(
        "--stats",
        metavar="FILE",
        help="production's table sizes, as written by sage-migrate stats: small tables calm down",
    )
    parser.add_argument("--explain", metavar="CODE", help="print a rule's page")


def run(arguments: argparse.Namespace) -> int:
    """Lint as the command line and pyproject.toml say; 0 clean, 1 violations.

    Raises:
        UsageError: pglast is missing, or a setting cannot be used.
    """
    try:
        import pglast.parser  # noqa: F401
    except ImportError as error:
        raise UsageError("lint needs PostgreSQL's grammar.", remedy="pip install 'sage-migrate[lint]'.") from error
    from sage_migrate.lint.check import lint
    from sage_migrate.lint.output import FORMATS

    if arguments.explain:
        sys.stdout.write(_explain(arguments.explain))
        return 0
    settings = _settings(arguments)
    violations = list(lint(settings))
    sys.stdout.write(f"{FORMATS[arguments.format](violations)}\n")
    limit = SEVERITIES.index(settings.fail_on)
    return int(any(SEVERITIES.index(each.severity) >= limit for each in violations if each.severity != "note"))


def _explain(code: str) -> str:
    from sage_migrate.lint.page import page
    from sage_migrate.lint.rule import all_rules

    rule = next((each for each in all_rules() if each.code == code), None)
    if rule is None:
        raise UsageError(
            f"There is no rule {code}.", remedy=f"The rules: {', '.join(each.code for each in all_rules())}."
        )
    return page(rule)


def _settings(arguments: argparse.Namespace) -> Any:
    from sage_migrate.lint.check import Settings
    from sage_migrate.stats.sizes import Sizes, read_sizes

    config = _config()
    unknown = sorted(set(config) - _KEYS)
    if unknown:
        raise UsageError(
            f"[tool.sage-migrate.lint] has no setting {', '.join(unknown)}.",
            remedy=f"The settings: {', '.join(sorted(_KEYS))}.",
        )
    severities = config.get("severity", {})
    fail_on = arguments.fail_on or config.get("fail-on", "error")
    for value in (*severities.values(), fail_on):
        if value not in SEVERITIES:
            raise UsageError(f"'{value}' is no severity.", remedy=f"One of {', '.join(SEVERITIES)}.")
    paths = tuple(map(Path, arguments.paths or config.get("paths", ["."])))
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}.", remedy="Name revisions, or directories of them.")
    stats = arguments.stats or config.get("stats")
    return Settings(
        paths=paths,
        since=arguments.since or config.get("since"),
        off=frozenset(config.get("ignore", ())),
        severities=dict(severities),
        fail_on=fail_on,
        exclude=tuple(config.get("exclude", ())),
        sizes=read_sizes(Path(stats)) if stats else Sizes(()),
    )


def _config() -> dict[str, Any]:
    file = Path("pyproject.toml")
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text()).get("tool", {}).get("sage-migrate", {}).get("lint", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}.") from error
    return dict(found)
