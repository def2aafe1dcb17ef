"""The command line of a fleet: `fleet upgrade`, `fleet status`."""

import argparse
import functools
import json
import sys
from multiprocessing.connection import Connection

import structlog  # noqa: F401  every process needs it: imported before they are forked

from sage_migrate.fleet.options import FLEET_OPTIONS, FleetSettings, read_fleet_settings
from sage_migrate.fleet.pool import Pool
from sage_migrate.fleet.rollout import FleetReport, Rollout
from sage_migrate.fleet.status import read_fleet_status
from sage_migrate.fleet.worker import Worker
from sage_migrate.project import Project, load_project
from sage_migrate.report import fail, finish
from sage_migrate.settings import Settings, add_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two actions, each with the options of a run and those of a fleet."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    upgrade = actions.add_parser("upgrade", help="bring every tenant to the target")
    upgrade.add_argument("revision", nargs="?", default="head", help="the target (default: head)")
    status = actions.add_parser("status", help="where the tenants are: 0 all at head or ahead, 3 some pending")
    status.add_argument("--format", choices=("text", "json"), default="text")
    for action in actions.choices.values():
        add_options(action)
        add_options(action, FLEET_OPTIONS)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run an action and return its exit status.

    Raises:
        GateError: it ended before any tenant began.
    """
    fleet = read_fleet_settings(arguments, settings)
    project = load_project(settings)
    target = getattr(arguments, "revision", "heads")
    heads = project.resolve(target)
    serve = functools.partial(_serve, project=project, settings=settings, fleet=fleet, target=target)
    with Pool(fleet.concurrency, serve) as pool:
        if arguments.action == "status":
            status = read_fleet_status(pool, project)
            sys.stdout.write(f"{json.dumps(status.as_dict()) if arguments.format == 'json' else status.as_text()}\n")
            return status.exit_status
        report = FleetReport(command="fleet upgrade", target=heads)
        error = Rollout(settings, fleet, pool, report, target).run()
    if error is not None:
        fail(report, error, termination_log=settings.termination_log)
        return error.exit_status
    finish(report, termination_log=settings.termination_log)
    return 0


def _serve(channel: Connection, *, project: Project, settings: Settings, fleet: FleetSettings, target: str) -> None:
    Worker(channel, project=project, settings=settings, fleet=fleet, target=target).serve()
