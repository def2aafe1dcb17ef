"""What a trace is told: the command line over [tool.sage-migrate.trace] in pyproject.toml."""

import argparse
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.durations import parse_duration
from sage_migrate.errors import UsageError

FORMATS = ("text", "json", "markdown", "html")
_REVISION_SECONDS = 300.0
CHECKS = ("round-trip", "single-head", "autogenerate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """One run's."""

    range: str | None = None
    format: str = "text"
    output: Path | None = None
    servers: tuple[DatabaseURL | Path | None, ...] = (None,)
    """What is traced on, one after the other: a server that is there, programs to run one by, or None for the embedded ones."""
    schema_dump: Path | None = None
    setup: Path | None = None
    rows: int = 500
    stats: Path | None = None
    old_ref: str | None = None
    old_image: str | None = None
    old_models: str | None = None
    old_statements: Path | None = None
    checks: frozenset[str] = frozenset(CHECKS)
    allow_network: bool = False
    revision_timeout: float = _REVISION_SECONDS
    cache: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that this project's env.py reads; ``{url}``, ``{host}``, ``{port}``, ``{user}``, ``{password}``, ``{database}``."""


_STRINGS = (
    "schema-dump", "setup", "stats", "old-ref", "old-image", "old-models", "old-statements", "revision-timeout", "cache",
)  # fmt: skip
_KEYS = {*_STRINGS, "scratch-url", "postgresql", "rows", "checks", "allow-network", "environment"}
_EMBEDDED = "embedded"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "range",
        nargs="?",
        metavar="BASE:HEAD",
        help="revisions; either may be missing (default: what is new since the merge base with the default branch)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the answer there instead of to stdout")
    several = {
        "scratch-url": (
            "URL",
            "a PostgreSQL to trace on: a database of its own is made and dropped there (default: an embedded one)",
        ),
        "postgresql": ("DIRECTORY", f"the programs of a PostgreSQL to start and trace on, or '{_EMBEDDED}'"),
    }
    for name, (metavar, text) in several.items():
        parser.add_argument(
            f"--{name}", metavar=metavar, action="append", help=f"{text}; several times for several versions"
        )
    texts = {
        "schema-dump": ("FILE", "plain SQL, as of pg_dump, that stands for BASE"),
        "setup": ("FILE", "SQL that is run first in the scratch database, such as CREATE ROLE"),
        "stats": ("FILE", "production's sizes, as written by `sage-migrate stats`"),
        "old-ref": ("GITREF", "the release that still serves: its models are loaded from there"),
        "old-image": ("IMAGE", "the same as an image: its name, an archive of it, or a directory with its files"),
        "old-models": ("MODULE:BASE", "its models, where they can be imported from here"),
        "old-statements": ("FILE", "statements that it sends: SQL, or an export of pg_stat_statements"),
        "revision-timeout": ("DURATION", "how long a revision may take (default: 5min)"),
        "cache": ("DIRECTORY", "where the server at BASE is kept for the next run ('' for nowhere)"),
    }
    for name, (metavar, text) in texts.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument(
        "--rows", type=int, metavar="N", help="rows that each table is filled with (default: 500; 0: none)"
    )
    parser.add_argument(
        "--checks", metavar="NAME[,NAME]", help=f"further checks: {', '.join(CHECKS)} (default: all; '' for none)"
    )
    parser.add_argument("--allow-network", action="store_true", default=None, help="let revisions call the network")


def read_options(arguments: argparse.Namespace) -> Options:
    """Return the options of this run.

    Raises:
        UsageError: for anything unusable.
    """
    config = _config()
    unknown = sorted(set(config) - _KEYS)
    if unknown:
        raise UsageError(
            f"[tool.sage-migrate.trace] has no setting {', '.join(unknown)}.",
            remedy=f"The settings: {', '.join(sorted(_KEYS))}.",
        )
    given = {name: _given(arguments, config, name) for name in _STRINGS}
    if given["old-ref"] and given["old-image"]:
        raise UsageError("--old-ref and --old-image both name the old release.", remedy="Name one of them.")
    rows = arguments.rows if arguments.rows is not None else config.get("rows", 500)
    environment = config.get("environment", {})
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 <= rows <= 1_000_000:  # noqa: PLR2004
        raise UsageError(f"rows is '{rows}'.", remedy="Use a number from 0 to 1000000.")
    if not isinstance(environment, dict) or not all(isinstance(each, str) for each in environment.values()):
        raise UsageError("environment is no table of texts.", remedy='Write environment = { DB_URL = "{url}" }.')
    return Options(
        range=arguments.range,
        format=arguments.format,
        output=arguments.output,
        servers=(
            *(_url(each) for each in _listed(arguments, config, "scratch-url")),
            *(_programs(each) for each in _listed(arguments, config, "postgresql")),
        )
        or (None,),
        schema_dump=_file(given["schema-dump"], "schema-dump"),
        setup=_file(given["setup"], "setup"),
        stats=_file(given["stats"], "stats"),
        old_ref=given["old-ref"],
        old_image=given["old-image"],
        old_models=given["old-models"],
        old_statements=_file(given["old-statements"], "old-statements"),
        revision_timeout=_duration(given["revision-timeout"]),
        cache=_cache(given["cache"]),
        rows=rows,
        checks=_checks(arguments.checks if arguments.checks is not None else config.get("checks")),
        allow_network=bool(arguments.allow_network or config.get("allow-network")),
        environment=environment,
    )


def _given(arguments: argparse.Namespace, config: dict[str, Any], name: str) -> str | None:
    value = getattr(arguments, name.replace("-", "_"))
    value = config.get(name) if value is None else value
    return None if value is None else str(value)


def _file(text: str | None, name: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    if not path.is_file():
        raise UsageError(f"--{name} names {path}, which is no file.")
    return path


def _listed(arguments: argparse.Namespace, config: dict[str, Any], name: str) -> list[str]:
    given = getattr(arguments, name.replace("-", "_"))
    value = config.get(name) if given is None else given
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise UsageError(f"{name} is neither a text nor a list of texts.")
    return [each for each in texts if each]


def _programs(text: str) -> Path | None:
    if text == _EMBEDDED:
        return None
    path = Path(text).expanduser()
    if not (path / "initdb").is_file():
        raise UsageError(
            f"--postgresql names {path}, which has no initdb.",
            remedy=f"Name the directory of a server's programs, such as /usr/lib/postgresql/17/bin, or '{_EMBEDDED}'.",
        )
    return path.absolute()


def _url(text: str) -> DatabaseURL:
    try:
        return parse_database_url(text)
    except ValueError as error:
        raise UsageError(f"--scratch-url: {error}.") from None  # the cause's frames hold the password


def _duration(text: str | None) -> float:
    if text is None:
        return _REVISION_SECONDS
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--revision-timeout cannot be used: {error}.") from error


def _cache(text: str | None) -> Path | None:
    if text is not None:
        return Path(text) if text else None
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "sage-migrate" / "trace"
    except RuntimeError:  # nobody's home
        return None


def _checks(value: object) -> frozenset[str]:
    if value is None:
        return frozenset(CHECKS)
    names = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list):
        raise UsageError("checks is no list.", remedy=f"Name some of {', '.join(CHECKS)}.")
    wanted = frozenset(str(each) for each in names if each)
    if wanted - set(CHECKS):
        raise UsageError(
            f"There is no check {', '.join(sorted(wanted - set(CHECKS)))}.", remedy=f"The checks: {', '.join(CHECKS)}."
        )
    return wanted


def _config() -> dict[str, Any]:
    file = Path("pyproject.toml")
    if not file.is_file():
        return {}
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("sage-migrate", {}).get("trace", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"pyproject.toml cannot be read: {error}.") from error
    return dict(found)
