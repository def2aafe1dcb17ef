"""The tenants of a fleet: where their names come from, and which of them are this run's."""

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sage_migrate.database_url import DatabaseURL, parse_database_url
from sage_migrate.errors import UsageError
from sage_migrate.fleet.options import FleetSettings
from sage_migrate.fleet.shards import divide_by_size, read_sizes, shard_of
from sage_migrate.gate import Gate
from sage_migrate.redact import redact
from sage_migrate.session import Session, connect_by_url, quote_literal
from sage_migrate.settings import Settings

_SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname LIKE {pattern} AND nspname !~ '^pg_' AND nspname <> 'information_schema'"
    " ORDER BY nspname"
)
_DATABASES = "SELECT datname FROM pg_database WHERE datname LIKE {pattern} AND datallowconn AND NOT datistemplate ORDER BY datname"
_LINE = re.compile(r"(?P<name>\S.*?)(?:\s+(?P<url>postgres(?:ql)?(?:\+\w+)?://\S*))?")
_COMMAND_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One tenant: a schema, a database, or an argument of env.py, as ``kind`` says."""

    name: str
    kind: str
    url: DatabaseURL | None = field(default=None, repr=False)
    """Of a database; the settings' own URL is the others'."""


def read_tenants(gate: Gate, fleet: FleetSettings, *, by_size: bool = False) -> list[Tenant]:
    """Return the tenants of this run's shard, each once, in the order of their source.

    Sizes differ from one moment to the next, and so does a shard by them; a shard by name does not.

    Raises:
        UsageError: the source cannot be read, or a URL in it cannot be used.
    """
    urls: dict[str, str | None] = {}
    for name, url in _read_source(gate, fleet):
        urls.setdefault(name, url)
    if by_size:
        session = _connect(gate, "The sizes of the tenants are")
        # What has a URL of its own is on a server that would have to be asked for it.
        here = [name for name, url in urls.items() if url is None]
        sizes = dict.fromkeys(urls, 0) | gate.call(read_sizes(session, here, fleet.tenant_is))
        shards = divide_by_size(sizes, fleet.shards)
    else:
        shards = {name: shard_of(name, fleet.shards) for name in urls}
    return [_tenant(name, url, gate.settings, fleet) for name, url in urls.items() if shards[name] == fleet.shard]


def settings_of(tenant: Tenant, settings: Settings) -> Settings:
    """Return the settings by which a run of its own migrates ``tenant``."""
    if tenant.kind == "argument":
        return replace(settings, x_arguments=(*settings.x_arguments, f"tenant={tenant.name}"))
    return replace(settings, database_url=tenant.url or settings.database_url)


def parse_lines(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the tenants of a file: a name a line, then perhaps a URL; empty lines and ``#`` count for nothing."""
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            match = _LINE.fullmatch(text)
            assert match is not None
            yield match["name"], match["url"]


def _read_source(gate: Gate, fleet: FleetSettings) -> Iterable[tuple[str, str | None]]:
    if fleet.tenants_file:
        return parse_lines(_read_file(Path(fleet.tenants_file)).splitlines())
    if fleet.tenants_command:
        return parse_lines(_run_command(fleet.tenants_command).splitlines())
    if fleet.schemas:
        return _query(gate, _SCHEMAS.format(pattern=quote_literal(fleet.schemas)))
    if fleet.databases:
        return _query(gate, _DATABASES.format(pattern=quote_literal(fleet.databases)))
    assert fleet.tenants_query is not None
    return _query(gate, fleet.tenants_query)


def _tenant(name: str, url: str | None, settings: Settings, fleet: FleetSettings) -> Tenant:
    if "\0" in name:
        msg = f"A tenant's name holds a zero byte: {name.partition(chr(0))[0]}…"
        raise UsageError(msg, remedy="Correct the source of the tenants.")
    if url is None and fleet.tenant_is != "database":
        return Tenant(name=name, kind=fleet.tenant_is)
    if url is None:
        base = settings.database_url
        if base is None:
            msg = f"Where the database {name} is cannot be told: no URL names its server."
            raise UsageError(
                msg, remedy="Set DATABASE_URL to any database of that server, or give each tenant its URL."
            )
        return Tenant(name=name, kind="database", url=base.with_database(name))
    try:
        return Tenant(name=name, kind="database", url=parse_database_url(url))
    except ValueError as error:
        msg = f"The URL of tenant {name} cannot be used: {error}."
        raise UsageError(msg, remedy="Correct the source of the tenants.") from None  # the cause's frames hold it


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The tenants' file {path} cannot be read ({type(error).__name__})."
        raise UsageError(msg, remedy="It must be text, readable by this user.") from error


def _run_command(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the operator's own command
            shlex.split(command), capture_output=True, check=True, text=True, timeout=_COMMAND_SECONDS
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        msg = f"The tenants' command failed ({type(error).__name__})."
        raise UsageError(
            msg, remedy="Run it by hand in this image; it must print a tenant a line and exit 0."
        ) from error
    return done.stdout


def _connect(gate: Gate, what: str) -> Session:
    if gate.settings.database_url is None:
        msg = f"{what} to be asked of a database, and none is named."
        raise UsageError(msg, remedy="Set SAGE_MIGRATE_DATABASE_URL, DATABASE_URL, DATABASE_URL_FILE or PGHOST.")
    return gate.connect_session(connect_by_url(gate.settings), "sage-migrate fleet")


def _query(gate: Gate, sql: str) -> Sequence[tuple[str, str | None]]:
    session = _connect(gate, "The tenants are")
    try:
        rows = [list(row.values()) for row in gate.call(session.fetch(sql))]
    except Exception as error:
        if getattr(error, "sqlstate", None) is None:
            raise
        msg = f"The tenants' query failed: {redact(str(error))}."
        raise UsageError(msg, remedy="Run it by hand, as the role that the runner connects as.") from error
    return [(str(row[0]), row[1] if len(row) > 1 and row[1] else None) for row in rows if row and row[0] is not None]
