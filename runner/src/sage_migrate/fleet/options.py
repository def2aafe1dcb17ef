"""What a fleet is told beside the settings of each run: which tenants, how many at a time, when to stop."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sage_migrate.durations import parse_duration
from sage_migrate.errors import UsageError
from sage_migrate.settings import Option, Settings, check_ladder, limits_within, read_options, read_table

_SOURCES = ("schemas", "databases", "tenants-file", "tenants-query", "tenants-command")
# A tenant that waits for a reader keeps one of the workers; the others need the rest of the time.
_TENANT_SHARE = 0.25


def _number(text: str) -> int:
    if not text.isdigit():
        msg = f"'{text}' is no number"
        raise ValueError(msg)
    return int(text)


def _positive(text: str) -> int:
    if not _number(text):
        msg = "it must be at least 1"
        raise ValueError(msg)
    return int(text)


FLEET_OPTIONS = (
    Option(name="schemas", help="the tenants are the schemas whose name matches this LIKE pattern", metavar="PATTERN"),
    Option(name="databases", help="the tenants are the server's databases whose name matches this LIKE pattern", metavar="PATTERN"),
    Option(name="tenants-file", help="a tenant a line: NAME, or NAME URL", metavar="FILE"),
    Option(name="tenants-query", help="a query that returns tenants, and their URLs in a second column", metavar="SQL"),
    Option(name="tenants-command", help="a command that prints what a file would hold", metavar="COMMAND"),
    Option(
        name="tenant-is",
        help="what a name from a file, a query or a command is: a schema, a database on the server that the URL names, "
        "or the argument '-x tenant=NAME' of env.py",
        default="schema",
        choices=("schema", "database", "argument"),
    ),
    Option(
        name="shared-schemas",
        help="schemas that follow the tenant's in search_path, such as those of extensions",
        metavar="SCHEMA[,SCHEMA]",
    ),
    Option(name="concurrency", help="how many tenants at a time", parse=_positive, default="4", metavar="NUMBER"),
    Option(
        name="slots",
        help="how many tenants at a time on one server, over all pods and machines; 0 for no such bound",
        parse=_number,
        default="0",
        metavar="NUMBER",
    ),
    Option(name="slots-database", help="the database in which the slots of a server are taken", default="postgres", metavar="NAME"),
    Option(
        name="canary",
        help="this many tenants, or these, alone first; where one of them fails no other begins",
        default="1",
        metavar="NUMBER|NAME[,NAME]",
    ),
    Option(name="wave-size", help="so many end before the next begin; 0 for one wave", parse=_number, default="0", metavar="NUMBER"),
    Option(name="max-failures", help="when so many tenants have failed no other begins", parse=_positive, default="10", metavar="NUMBER"),
    Option(
        name="tenant-deadline",
        help="how long one tenant may take (default: a quarter of the deadline, which is the whole fleet's)",
        parse=parse_duration,
        metavar="DURATION",
    ),
    Option(name="shards", help="into how many parts they are divided", parse=_positive, default="1", metavar="NUMBER"),
    Option(
        name="shard-by",
        help="what divides them: a hash of the name, or the size, so that runs end at about the same time",
        default="hash",
        choices=("hash", "size"),
    ),
    Option(name="shard", help="which of the parts is this run's, from 0 (default: JOB_COMPLETION_INDEX)", parse=_number, metavar="NUMBER"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """What one run of a fleet is told."""

    schemas: str | None = None
    databases: str | None = None
    tenants_file: str | None = None
    tenants_query: str | None = None
    tenants_command: str | None = None
    tenant_is: str = "schema"
    shared_schemas: str = ""
    concurrency: int = 4
    slots: int = 0
    slots_database: str = "postgres"
    canary: str = "1"
    wave_size: int = 0
    max_failures: int = 10
    tenant_deadline: float = 60.0
    shards: int = 1
    shard_by: str = "hash"
    shard: int = 0


def read_fleet_settings(
    arguments: argparse.Namespace, settings: Settings, environment: Mapping[str, str] = os.environ
) -> FleetSettings:
    """Return the settings of this fleet.

    Raises:
        UsageError: for anything unusable, naming the option, the variable or the file that it came from.
    """
    from_file = read_table(settings.config_file.parent / "pyproject.toml", "fleet", FLEET_OPTIONS)
    values = read_options(FLEET_OPTIONS, arguments, environment, from_file)
    sources = [name for name in _SOURCES if values.get(name.replace("-", "_"))]
    if len(sources) != 1:
        said = (
            f"Of {', '.join(f'--{name}' for name in sources)} only one counts." if sources else "No tenants are named."
        )
        raise UsageError(said, remedy=f"Give one of --{', --'.join(_SOURCES)}.")
    if values.get("schemas"):
        values["tenant_is"] = "schema"
    if values.get("databases"):
        values["tenant_is"] = "database"
    if values.get("shard_by") == "size" and values.get("tenant_is") == "argument":
        msg = "The tenants are to be divided by size, and what is a tenant's only env.py knows."
        raise UsageError(msg, remedy="Leave --shard-by at hash, or name schemas or databases.")
    _read_shard(values, environment)
    values.setdefault("tenant_deadline", settings.deadline * _TENANT_SHARE)
    if values.get("tenants_file") and not Path(values["tenants_file"]).is_file():
        msg = f"The tenants' file {values['tenants_file']} does not exist."
        raise UsageError(msg, remedy="Name a file with a tenant a line (--tenants-file).")
    fleet = FleetSettings(**values)
    tenant_settings(settings, fleet, settings.deadline)  # refuses limits that contradict each other
    return fleet


def tenant_settings(settings: Settings, fleet: FleetSettings, remaining_seconds: float) -> Settings:
    """Return the settings of one tenant's run, whose deadline lies within what is left of the fleet's.

    Raises:
        UsageError: the limits contradict each other.
    """
    if fleet.tenant_deadline > settings.deadline:
        msg = "The tenant-deadline is longer than the deadline, which is the whole fleet's."
        raise UsageError(msg, remedy="Lengthen --deadline, or shorten --tenant-deadline.")
    within = replace(settings, **limits_within(fleet.tenant_deadline, settings), report=())
    check_ladder(within)
    return replace(within, deadline=min(fleet.tenant_deadline, remaining_seconds))


def _read_shard(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    shards, index = values.get("shards", 1), environment.get("JOB_COMPLETION_INDEX")
    if "shard" not in values and shards > 1:
        if index is None or not index.isdigit():
            msg = f"The tenants are divided into {shards} shards, and it is not said which of them is this run's."
            raise UsageError(msg, remedy="Give --shard, or run as an Indexed Job, which sets JOB_COMPLETION_INDEX.")
        values["shard"] = int(index)
    if values.get("shard", 0) >= shards:
        msg = f"Shard {values['shard']} is none of the {shards}: they are counted from 0."
        raise UsageError(msg, remedy="Let --shards be the number of all runs (of an Indexed Job: its completions).")
