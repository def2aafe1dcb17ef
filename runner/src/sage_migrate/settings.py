"""Settings of a run: command line over environment over pyproject.toml over defaults."""

import argparse
import itertools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.durations import format_duration, parse_duration
from sage_migrate.errors import UsageError
from sage_migrate.timeline.report_files import parse_report_files

PREFIX = "SAGE_MIGRATE_"
_ONLINE_DEADLINE_SECONDS = 86_400.0
_UNSET: Any = None


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting: its command line name, how a text becomes its value, and what it is for."""

    name: str
    help: str
    parse: Callable[[str], object] = str
    default: str | None = None
    choices: tuple[str, ...] = ()
    flag: bool = False
    repeatable: bool = False
    metavar: str | None = None

    @property
    def key(self) -> str:
        """The attribute of `Settings`."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.key.upper()


def _parse_multiple(text: str) -> float:
    """Return ``text`` as a number that something is multiplied by.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text) is None:
        msg = f"'{text}' is not a number such as 0.5 or 3"
        raise ValueError(msg)
    return float(text)


def _duration(name: str, text: str, default: str | None) -> Option:
    return Option(name=name, help=text, parse=parse_duration, default=default, metavar="DURATION")


OPTIONS = (
    _duration("wait-timeout", "how long to wait for the database", "60s"),
    _duration("lock-timeout", "how long one try may queue for a lock, and others behind it", "100ms"),
    _duration("stall-budget", "how long anybody may wait for the migration", "1s"),
    _duration("statement-timeout", "how long one statement may run", "180s"),
    _duration("deadline", "how long the whole run may take, waiting included", "240s"),
    _duration("idle-timeout", "how long the migration's transaction may idle while a revision computes", "60s"),
    Option(name="observe", help="the stall guard only reports what it would have cancelled", flag=True),
    _duration("terminate-idle-after", "end a blocker that idles in a transaction older than this (off by default)", None),
    Option(
        name="terminate-idle-applications",
        help="end a blocker that idles in a transaction, of these application_names (off by default)",
        metavar="NAME[,NAME]",
    ),
    Option(
        name="if-locked",
        help="while another runner holds the lock: wait for it until the deadline, or fail at once",
        default="wait",
        choices=("wait", "fail"),
    ),
    Option(
        name="if-ahead",
        help="what to do when the database is at a revision that this image lacks: 'known' accepts it where the recorded "
        "lineage shows that this image's head is its ancestor with no contract revision in between",
        default="known",
        choices=("known", "refuse", "accept"),
    ),
    Option(
        name="online",
        help="leave no online revision for its size: what releases left is done, beside the application (deadline: 24h unless given)",
        flag=True,
    ),
    Option(
        name="backfill-rest",
        help="how long a declared backfill rests, as a multiple of the time that its batches take; more is gentler",
        parse=_parse_multiple,
        default="0.5",
        metavar="NUMBER",
    ),
    Option(name="phase", help="'expand' stops before the first contract revision", default="all", choices=("all", "expand")),
    Option(
        name="require-review",
        help="refuse a pending revision that is not, byte for byte, the one in reviewed.json, which review export wrote",
        flag=True,
    ),
    Option(
        name="allow-unreviewed",
        help="apply these revisions all the same, this once; needs a reason",
        metavar="REVISION[,REVISION]",
    ),
    Option(name="role", help="SET ROLE to this role before migrating"),
    Option(name="password-command", help="a command that prints the password; run for each connection", metavar="COMMAND"),
    Option(name="reason", help="why a refusal is overridden; logged", metavar="TEXT"),
    Option(name="image", help="the image's reference, recorded in the lineage"),
    Option(name="termination-log", help="where the one-line result goes (default: /dev/termination-log where it exists)", metavar="FILE"),
    Option(
        name="report",
        help="write a timeline of the run: its statements, their locks, who waited for it; .json, .md or .html, several by comma "
        "or by repeating",
        parse=parse_report_files,
        repeatable=True,
        metavar="FILE",
    ),
    Option(
        name="fast-path",
        help="answer that there is nothing to do without running env.py, where an earlier run proved it",
        default="on",
        choices=("on", "off"),
    ),
    Option(name="show-literals", help="keep literals of SQL and PostgreSQL's DETAIL in what is logged", flag=True),
    Option(name="debug", help="show the traceback of a failure", flag=True),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one run is told. Durations are in seconds."""

    config_file: Path
    config_name: str = "alembic"
    x_arguments: tuple[str, ...] = ()
    database_url: DatabaseURL | None = None
    wait_timeout: float = 60.0
    lock_timeout: float = 0.1
    stall_budget: float = 1.0
    statement_timeout: float = 180.0
    deadline: float = 240.0
    idle_timeout: float = 60.0
    observe: bool = False
    terminate_idle_after: float | None = None
    terminate_idle_applications: str | None = None
    if_locked: str = "wait"
    if_ahead: str = "known"
    online: bool = False
    backfill_rest: float = 0.5
    phase: str = "all"
    require_review: bool = False
    allow_unreviewed: str | None = None
    role: str | None = None
    password_command: str | None = None
    reason: str | None = None
    image: str | None = None
    termination_log: Path | None = None
    report: tuple[Path, ...] = ()
    fast_path: str = "on"
    show_literals: bool = False
    debug: bool = False

    def with_database(self, name: str) -> "Settings":
        """Return the settings of another database on the same server."""
        assert self.database_url is not None
        return replace(self, database_url=self.database_url.with_database(name))

    def password(self) -> str | None:
        """Return a fresh password from ``password_command``, or None without one.

        Raises:
            UsageError: when the command fails or prints nothing.
        """
        if self.password_command is None:
            return None
        import shlex
        import subprocess

        try:
            done = subprocess.run(  # noqa: S603  the operator's own command
                shlex.split(self.password_command), capture_output=True, check=True, text=True, timeout=30
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            msg = f"The password command failed ({type(error).__name__})."
            raise UsageError(
                msg, remedy="Run it by hand in this image; it must print the password and exit 0."
            ) from error
        if not done.stdout.strip():
            msg = "The password command printed nothing."
            raise UsageError(msg, remedy="It must print the password on its first line.")
        return done.stdout.strip().splitlines()[0]


def add_options(parser: argparse.ArgumentParser, options: tuple[Option, ...] = OPTIONS) -> None:
    """Add ``options`` to ``parser``; an absent one stays None, so that the environment counts."""
    for option in options:
        text = f"{option.help} [{option.variable}]" + (f" (default: {option.default})" if option.default else "")
        if option.flag:
            parser.add_argument(f"--{option.name}", action="store_const", const="true", default=_UNSET, help=text)
        elif option.repeatable:
            parser.add_argument(f"--{option.name}", action="append", metavar=option.metavar, default=_UNSET, help=text)
        else:
            parser.add_argument(
                f"--{option.name}", choices=option.choices or None, metavar=option.metavar, default=_UNSET, help=text
            )


def read_settings(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this run.

    Raises:
        UsageError: for anything unusable, naming the option, the variable or the file that it came from.
    """
    config_file = find_config(arguments.config or environment.get(f"{PREFIX}CONFIG"))
    from_file = read_table(config_file.parent / "pyproject.toml", "", OPTIONS)
    values = read_options(OPTIONS, arguments, environment, from_file)
    settings = Settings(
        config_file=config_file,
        config_name=arguments.name,
        x_arguments=tuple(arguments.x or ()),
        database_url=_read_database_url(environment),
        **{**_ladder(values), **values},
    )
    check_ladder(settings)
    return settings


def read_options(
    options: tuple[Option, ...],
    arguments: argparse.Namespace,
    environment: Mapping[str, str],
    from_file: Mapping[str, str],
) -> dict[str, Any]:
    """Return the values of those ``options`` that are given anywhere.

    Raises:
        UsageError: one cannot be used; the message names where it came from.
    """
    values: dict[str, Any] = {}
    for option in options:
        given, source = _given(option, arguments, environment, from_file)
        if given is not None:
            values[option.key] = _parse(option, given, source)
    return values


def _given(
    option: Option, arguments: argparse.Namespace, environment: Mapping[str, str], from_file: Mapping[str, str]
) -> tuple[str | None, str]:
    on_command_line = getattr(arguments, option.key, None)
    if on_command_line is not None:
        return ",".join(on_command_line) if option.repeatable else on_command_line, f"--{option.name}"
    if environment.get(option.variable):
        return environment[option.variable], option.variable
    return from_file.get(option.name), f"{option.name} in pyproject.toml"


def _parse(option: Option, text: str, source: str) -> object:
    if option.flag:
        if text.lower() not in ("true", "false", "1", "0"):
            msg = f"{source} is '{text}', which is neither true nor false."
            raise UsageError(msg)
        return text.lower() in ("true", "1")
    if option.choices and text not in option.choices:
        msg = f"{source} is '{text}'."
        raise UsageError(msg, remedy=f"Use one of: {', '.join(option.choices)}.")
    if option.key == "termination_log":
        return Path(text)
    try:
        return option.parse(text)
    except ValueError as error:
        msg = f"{source} cannot be used: {error}."
        raise UsageError(msg) from error


def _ladder(values: Mapping[str, Any]) -> dict[str, float]:
    """Fit the defaults below a deadline that was given alone; what was given itself is never changed."""
    deadline = values.get("deadline", _ONLINE_DEADLINE_SECONDS if values.get("online") else Settings.deadline)
    return limits_within(deadline, Settings)


def limits_within(deadline: float, limits: Settings | type[Settings]) -> dict[str, Any]:
    """Return a deadline in seconds, with those of ``limits`` that lie within it shortened to fit."""
    return {
        "deadline": deadline,
        "statement_timeout": min(limits.statement_timeout, 0.75 * deadline),
        "wait_timeout": min(limits.wait_timeout, 0.75 * deadline),
    }


def check_ladder(settings: Settings) -> None:
    """Refuse limits that do not fit into each other.

    Raises:
        UsageError: an outer limit leaves the inner one no time to act.
    """
    rungs = ("lock_timeout", "stall_budget", "statement_timeout", "deadline")
    pairs = [*itertools.pairwise(rungs), ("wait_timeout", "deadline"), ("stall_budget", "idle_timeout")]
    for lower, upper in pairs:
        if getattr(settings, lower) >= getattr(settings, upper):
            msg = (
                f"The time limits contradict each other: {lower.replace('_', '-')} "
                f"({format_duration(getattr(settings, lower))}) must be shorter than {upper.replace('_', '-')} "
                f"({format_duration(getattr(settings, upper))})."
            )
            raise UsageError(
                msg,
                remedy="Shorten the one or lengthen the other: the outer limit must leave the inner one time to act.",
            )


def find_config(given: str | None) -> Path:
    """Return Alembic's configuration file: the one that is given, or the one that is here.

    Raises:
        UsageError: there is none.
    """
    path = Path(given or "alembic.ini")
    if path.is_file():
        return path
    pyproject = path.with_name("pyproject.toml")
    if given is None and pyproject.is_file() and "alembic" in _read_toml(pyproject).get("tool", {}):
        return pyproject
    if given is None and (of_flask := Path("migrations") / "alembic.ini").is_file():
        return of_flask
    msg = f"There is no {path} in {Path.cwd()}." if given is None else f"The configuration file {path} does not exist."
    raise UsageError(
        msg,
        remedy="Run in the directory that holds alembic.ini (the image's is /migrations), or name the file with -c.",
    )


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}."
        raise UsageError(msg) from error


def read_table(path: Path, name: str, options: tuple[Option, ...]) -> dict[str, str]:
    """Return what ``[tool.sage-migrate.NAME]`` of pyproject.toml sets; with an empty name ``[tool.sage-migrate]``.

    Raises:
        UsageError: it sets something that is none of ``options``.
    """
    table = _read_toml(path).get("tool", {}).get("sage-migrate", {}) if path.is_file() else {}
    if name:
        table = table.get(name, {})
    known = {option.name for option in options}
    # Tables and lists belong to the other commands, which check them themselves.
    scalars = {key: value for key, value in table.items() if not isinstance(value, (dict, list))}
    unknown = sorted(set(scalars) - known)
    if unknown:
        where = f"tool.sage-migrate.{name}" if name else "tool.sage-migrate"
        msg = f"{path} sets {', '.join(unknown)} in [{where}], which is no setting."
        raise UsageError(msg, remedy=f"Known settings: {', '.join(sorted(known))}.")
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in scalars.items()}


def _read_database_url(environment: Mapping[str, str]) -> DatabaseURL | None:
    """Return the database to migrate, or None when only env.py knows it."""
    for variable in (f"{PREFIX}DATABASE_URL", "DATABASE_URL"):
        if environment.get(variable):
            return _usable(environment[variable], variable, environment)
    file = environment.get("DATABASE_URL_FILE")
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"DATABASE_URL_FILE names {file}, which cannot be read ({type(error).__name__})."
            raise UsageError(
                msg, remedy="Mount the secret there, readable by this user, or set DATABASE_URL."
            ) from error
        return _usable(text, f"DATABASE_URL_FILE ({file})", environment)
    if environment.get("PGHOST") or environment.get("PGDATABASE") or environment.get("PGSERVICE"):
        return parse_database_url("postgresql://")
    return None


def _usable(text: str, source: str, environment: Mapping[str, str]) -> DatabaseURL:
    try:
        url = parse_database_url(text)
    except ValueError as error:
        msg = f"{source}: {error}."
        raise UsageError(msg) from None  # the cause's frames hold the password
    if url.driver is None and environment.get("DATABASE_URL"):
        # The runner's own URL seldom names a driver; env.py needs the one that the app's URL names.
        try:
            driver = parse_database_url(environment["DATABASE_URL"]).driver
        except ValueError:
            driver = None
        return parse_database_url(url.with_driver(driver)) if driver else url
    return url
