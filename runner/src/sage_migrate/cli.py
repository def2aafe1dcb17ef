"""The command line. The only place that ends the process."""

import argparse
import atexit
import gc
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sage_migrate import __version__
from sage_migrate.errors import GateError, UsageError, met_bug
from sage_migrate.interruption import ABANDON_SECONDS, Interruption, watch_signals
from sage_migrate.logs import configure_logs
from sage_migrate.report import Report, fail, finish
from sage_migrate.settings import PREFIX, Settings, add_options, read_settings

_LOG_FORMATS = ("json", "console")
# Commands that no deploy runs. Each one's package has a module `command` with `add_arguments` and `run`; it is imported
# only where the command line names it, so that the runner image needs none of their dependencies.
REVIEW_TIME = {
    "doctor": "reads an existing project and its database, changes nothing, and says what would go wrong",
    "init": "a new service; the gate for an existing one; a newer template for an old one",
    "revision": "a revision of what the models say and the database does not, linted, traced, with its review begun",
    "trace": "run the pending revisions on a scratch PostgreSQL, and report what they lock, rewrite and break",
    "lint": "static rules: what revisions would do to a live database; models, sessions in async code, routes",
    "stats": "how big production's tables are, as a file for `lint` and `trace`; reads no row, changes nothing",
    "review": "the cycle docs: write reviews of new revisions, fail without them, list what was reviewed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if argv is None:
        _start_lightly()
    arguments = _parser(sys.argv[1:] if argv is None else argv).parse_args(argv)
    log_format = arguments.log_format or os.environ.get(f"{PREFIX}LOG_FORMAT")
    # What these print is their answer; events must not stand in it.
    answers = "status" in (arguments.command, getattr(arguments, "action", "")) or arguments.command in REVIEW_TIME
    configure_logs(log_format if log_format in _LOG_FORMATS else None, stream=sys.stderr if answers else sys.stdout)
    report = Report(command=arguments.command)
    settings: Settings | None = None
    try:
        if log_format not in (None, "", *_LOG_FORMATS):
            raise UsageError(  # noqa: TRY301  reported like every other
                f"{PREFIX}LOG_FORMAT is '{log_format}'.", remedy=f"Use one of: {', '.join(_LOG_FORMATS)}."
            )
        if arguments.command in REVIEW_TIME:
            status: int = _review_time(arguments.command).run(arguments)
            return status
        settings = read_settings(arguments)
        if arguments.command == "fleet":
            from sage_migrate.fleet.command import run

            return run(arguments, settings)
        if settings.report:
            from sage_migrate.timeline.recorder import Recorder

            report.recorder = Recorder(settings)
        interruption = Interruption()
        watch_signals(interruption)
        interruption.subscribe(lambda: _abandon_later(report, interruption, settings))
        status = _COMMANDS[arguments.command](arguments, settings, report, interruption)
    except GateError as error:
        if arguments.debug or (settings and settings.debug):
            traceback.print_exc()
        fail(report, error, termination_log=_termination_log(settings))
        return error.exit_status
    except Exception as error:  # noqa: BLE001  the last resort: a bug still gets its exit status and its log line
        traceback.print_exc()
        bug = met_bug(error)
        fail(report, bug, termination_log=_termination_log(settings))
        return bug.exit_status
    return status


def _upgrade(arguments: argparse.Namespace, settings: Settings, report: Report, interruption: Interruption) -> int:
    if getattr(arguments, "dry_run", False):
        from sage_migrate.status import dry_run

        return 0 if dry_run(settings, interruption, arguments.revision).state != "unknown" else 21
    mark = None
    if (
        arguments.command == "upgrade"
        and arguments.revision == "head"
        and settings.fast_path == "on"
        and not settings.report
    ):
        from sage_migrate.fast_path import fingerprint, heads_without_work

        mark = fingerprint(settings)
        report.target = heads_without_work(settings, interruption, mark)
        if report.target:
            finish(report, termination_log=settings.termination_log)
            return 0
    from sage_migrate.upgrade import upgrade

    upgrade(settings, arguments.revision, report, interruption, mark)
    finish(report, termination_log=settings.termination_log)
    return 0


def _wait(_arguments: argparse.Namespace, settings: Settings, report: Report, interruption: Interruption) -> int:
    from sage_migrate.gate import Gate
    from sage_migrate.session import connect_by_url

    if settings.database_url is None:
        msg = "No database is named."
        raise UsageError(msg, remedy="Set SAGE_MIGRATE_DATABASE_URL, DATABASE_URL, DATABASE_URL_FILE or PGHOST.")
    with Gate(settings, interruption) as gate:
        gate.connect_session(connect_by_url(settings), "sage-migrate wait")
    report.outcome = "database ready"
    finish(report, termination_log=settings.termination_log)
    return 0


def _status(arguments: argparse.Namespace, settings: Settings, _report: Report, interruption: Interruption) -> int:
    from sage_migrate.status import read_status

    status = read_status(settings, interruption)
    sys.stdout.write(f"{json.dumps(status.as_dict()) if arguments.format == 'json' else status.as_text()}\n")
    return status.exit_status


_COMMANDS: dict[str, Callable[[argparse.Namespace, Settings, Report, Interruption], int]] = {
    "upgrade": _upgrade,
    "downgrade": _upgrade,
    "wait": _wait,
    "status": _status,
}


def _start_lightly() -> None:
    """Spare the process half of what a short run costs, and nothing is to be had for.

    Garbage collection goes over hundreds of modules again and again while they are imported, and once more at the very
    end. Alembic imports Mako to write new revisions, which imports Pygments, where it is installed, for coloured errors.
    """
    gc.set_threshold(20_000, 50, 50)
    atexit.register(gc.freeze)
    sys.modules["mako.ext.pygmentplugin"] = None  # type: ignore[assignment]  # Python says so that there is none


def _review_time(name: str) -> Any:
    package = {"init": "scaffold"}.get(name, name)
    return importlib.import_module(f"sage_migrate.{package}.command")


def _parser(named: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser; of the review-time commands only those in ``named`` know their arguments."""
    parser = argparse.ArgumentParser(
        prog="sage-migrate", description="Take Alembic migrations to production without breaking the application."
    )
    parser.add_argument("--version", action="version", version=f"sage-migrate {__version__}")
    parser.add_argument("-c", "--config", help=f"Alembic's configuration file [{PREFIX}CONFIG] (default: alembic.ini)")
    parser.add_argument("-n", "--name", default="alembic", help="section of the configuration file")
    parser.add_argument("-x", action="append", metavar="NAME=VALUE", help="argument for env.py, as in alembic -x")
    parser.add_argument(
        "--log-format", choices=_LOG_FORMATS, help=f"[{PREFIX}LOG_FORMAT] (default: console on a terminal)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    upgrade = commands.add_parser("upgrade", help="wait, lock, apply what is pending, report")
    upgrade.add_argument("revision", nargs="?", default="head", help="the target (default: head)")
    upgrade.add_argument("--dry-run", action="store_true", help="print the plan and its SQL, change nothing")
    downgrade = commands.add_parser(
        "downgrade", help="revert one by one, under lock and guard; for a person, never a chart"
    )
    downgrade.add_argument("revision", help="the target: a revision, -1, or base")
    commands.add_parser("wait", help="wait for the database alone")
    status = commands.add_parser("status", help="where the database is: 0 at head or known ahead, 3 pending")
    status.add_argument("--format", choices=("text", "json"), default="text")
    for command in commands.choices.values():
        add_options(command)
    fleet = commands.add_parser(
        "fleet", help="the same for many tenants: a schema, a database or an argument of env.py each"
    )
    if "fleet" in named:
        from sage_migrate.fleet.command import add_arguments

        add_arguments(fleet)
    for name, about in REVIEW_TIME.items():
        command = commands.add_parser(name, help=about)
        command.add_argument("--debug", action="store_const", const="true", help="print the traceback of an error")
        if name in named:
            _review_time(name).add_arguments(command)
    return parser


def _abandon_later(report: Report, interruption: Interruption, settings: Settings | None) -> None:
    """End the process when env.py does not come back from an interrupted run; the server then rolls back."""

    def abandon() -> None:
        assert interruption.error is not None
        fail(report, interruption.error, termination_log=_termination_log(settings))
        sys.stdout.flush()
        os._exit(interruption.error.exit_status)

    timer = threading.Timer(ABANDON_SECONDS, abandon)
    timer.daemon = True
    timer.start()


def _termination_log(settings: Settings | None) -> Path | None:
    if settings is not None and settings.termination_log is not None:
        return settings.termination_log
    given = os.environ.get(f"{PREFIX}TERMINATION_LOG")
    return Path(given) if given else None
