"""The command `sage-migrate lint`: reads its settings, runs, prints, and tells the exit status."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_migrate.errors import UsageError
from sage_migrate.lint.findings import SEVERITIES

if TYPE_CHECKING:
    from sage_migrate.lint.check import Settings

_TYPES: dict[type, str] = {str: "string", list: "list of strings", dict: "table of strings"}
_KEYS: dict[str, type] = {
    "baseline": str,
    "exclude": list,
    "fail-on": str,
    "ignore": list,
    "import": list,
    "paths": list,
    "severity": dict,
    "since": str,
    "stats": str,
}


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
    parser.add_argument(
        "--diff",
        metavar="REF",
        help="only what is new or changed since HEAD left this branch of git, such as origin/main",
    )
    parser.add_argument("--baseline", metavar="FILE", help="findings that are known and not told again")
    parser.add_argument("--write-baseline", action="store_true", help="write the baseline, with all that is found now")
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        metavar="MODULE:BASE",
        help="import these models (app.models:Base) and inspect what SQLAlchemy made of them; runs their code",
    )
    parser.add_argument("--explain", metavar="CODE", help="print a rule's page")


def run(arguments: argparse.Namespace) -> int:
    """Lint as the command line and pyproject.toml say; 0 clean, 1 violations.

    Raises:
        UsageError: pglast is missing, or a setting cannot be used.
    """
    if find_spec("pglast") is None:
        raise UsageError("lint needs PostgreSQL's grammar.", remedy="pip install 'sage-migrate[lint]'.")
    from sage_migrate.lint.check import lint
    from sage_migrate.lint.output import FORMATS

    if arguments.explain:
        sys.stdout.write(_explain(arguments.explain))
        return 0
    config = _config()
    settings = _settings(arguments, config)
    baseline: str = arguments.baseline or config.get("baseline", "")
    if arguments.write_baseline and (not baseline or settings.changes is not None):
        raise UsageError(
            "--write-baseline needs to know the file, and takes all findings, not those of --diff.",
            remedy="Name it with --baseline FILE, and leave --diff out.",
        )
    violations = list(lint(settings))
    if arguments.write_baseline:
        from sage_migrate.lint.baseline import write_baseline

        write_baseline(Path(baseline), violations)
        sys.stdout.write(f"{baseline} now knows {len(violations)} finding{'s' * (len(violations) != 1)}.\n")
        return 0
    if settings.changes is not None:
        violations = [each for each in violations if settings.changes.touch(each)]
    if baseline:
        from sage_migrate.lint.baseline import leave_out_known, read_baseline

        violations = list(leave_out_known(violations, read_baseline(Path(baseline))))
    sys.stdout.write(f"{FORMATS[arguments.format](violations)}\n")
    limit = SEVERITIES.index(settings.fail_on)
    return int(any(SEVERITIES.index(each.severity) >= limit for each in violations if each.severity != "note"))


def _explain(code: str) -> str:
    from sage_migrate.lint.page import page
    from sage_migrate.lint.rule import all_rules, find_rule

    rule = find_rule(code)
    if rule is None:
        raise UsageError(
            f"There is no rule {code}.", remedy=f"The rules: {', '.join(each.code for each in all_rules())}."
        )
    return page(rule)


def _settings(arguments: argparse.Namespace, config: dict[str, Any]) -> "Settings":
    from sage_migrate.lint.check import SETTLED_CODES, Settings
    from sage_migrate.lint.rule import find_rule
    from sage_migrate.stats.sizes import Sizes, read_sizes

    named = {*config.get("ignore", ()), *config.get("severity", {})}
    if strange := sorted(code for code in named - {*SETTLED_CODES} if find_rule(code) is None):
        raise UsageError(
            f"[tool.sage-migrate.lint] names {', '.join(strange)}, which {'are no rules' if len(strange) > 1 else 'is no rule'}.",
            remedy="sage-migrate lint --explain CODE tells of each; docs/rules lists them.",
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
    changes = None
    if arguments.diff:
        from sage_migrate.lint.changes import read_changes

        changes = read_changes(arguments.diff)
    return Settings(
        paths=paths,
        since=arguments.since or config.get("since"),
        off=frozenset(config.get("ignore", ())),
        severities=dict(severities),
        fail_on=fail_on,
        exclude=tuple(config.get("exclude", ())),
        changes=changes,
        imports=tuple(arguments.imports or config.get("import", ())),
        sizes=read_sizes(Path(stats)) if stats else Sizes(()),
    )


def _config() -> dict[str, Any]:
    """Return the section of pyproject.toml, whose keys and their types are known."""
    file = Path("pyproject.toml")
    if not file.is_file():
        return {}
    import tomllib

    try:
        found: dict[str, Any] = (
            tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("sage-migrate", {}).get("lint", {})
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}.") from error
    if unknown := sorted(set(found) - set(_KEYS)):
        raise UsageError(
            f"[tool.sage-migrate.lint] has no setting {', '.join(unknown)}.",
            remedy=f"The settings: {', '.join(sorted(_KEYS))}.",
        )
    for key, value in found.items():
        items: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, _KEYS[key]) or not all(isinstance(each, str) for each in items):
            raise UsageError(
                f"[tool.sage-migrate.lint] {key} is no {_TYPES[_KEYS[key]]}.",
                remedy="docs/linting.md shows each setting.",
            )
    return dict(found)
