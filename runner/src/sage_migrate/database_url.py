"""The address of the database, in every spelling that libpq, SQLAlchemy and asyncpg users write."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from sage_migrate.redact import redact

_URL = re.compile(
    r"(?P<scheme>postgres(?:ql)?)(?:\+(?P<driver>\w+))?://"
    r"(?:(?P<userinfo>[^/?#]*)@)?(?P<hosts>[^/?#]*)(?:/(?P<database>[^?#]*))?(?:\?(?P<query>[^#]*))?",
)
_DRIVERS = {"psycopg2", "psycopg", "psycopg_async", "asyncpg", "pg8000"}
# What asyncpg reads from a URL itself; anything else it would send to the server as a setting.
_LIBPQ_SSL = {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"}
_OPTION = re.compile(r"-c\s*([\w.]+)=((?:\\.|\S)*)")


@dataclass(frozen=True, kw_only=True)
class DatabaseURL:
    """A parsed URL. ``repr`` and ``str`` never show the password."""

    text: str = field(repr=False)
    driver: str | None
    user: str | None
    password: str | None = field(repr=False)
    hosts: str
    database: str
    query: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        """Return the URL with its password redacted."""
        return redact(self.text)

    def with_driver(self, driver: str | None) -> str:
        """Return the URL for SQLAlchemy's ``driver``, with TLS options in that driver's spelling.

        asyncpg's dialect calls it ``ssl``, the libpq drivers ``sslmode``
        (https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#asyncpg).
        """
        query: dict[str, str | list[str]] = dict(self.query)
        hosts = self.hosts
        # https://docs.sqlalchemy.org/en/21/dialects/postgresql.html#specifying-multiple-fallback-hosts
        if "," in hosts:
            query["host"], hosts = hosts.split(","), ""
        if driver == "asyncpg" and "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        elif driver not in ("asyncpg", None) and "ssl" in query:
            query["sslmode"] = _libpq_sslmode(str(query.pop("ssl")))
        user = "" if self.user is None else quote(self.user, safe="")
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        at = "@" if user or secret else ""
        name = f"/{quote(self.database, safe='')}" if self.database else ""
        options = f"?{urlencode(query, doseq=True)}" if query else ""
        return f"postgresql{f'+{driver}' if driver else ''}://{user}{secret}{at}{hosts}{name}{options}"

    def with_database(self, name: str) -> "DatabaseURL":
        """Return the URL of another database on the same server."""
        return parse_database_url(replace(self, database=name).with_driver(self.driver))

    def asyncpg_arguments(self) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect` that mean the same as this URL.

        Driver options of SQLAlchemy's asyncpg dialect are left out, since asyncpg would send them to the
        server as settings; ``options=-c name=value`` becomes server settings, as libpq does it.
        """
        query = dict(self.query)
        kept = {name: value for name, value in query.items() if name in _LIBPQ_SSL | {"host", "port", "passfile"}}
        if "ssl" in query:
            kept["sslmode"] = _libpq_sslmode(query["ssl"])
        settings = {name: value.replace("\\ ", " ") for name, value in _OPTION.findall(query.get("options", ""))}
        arguments: dict[str, Any] = {
            # No slash: asyncpg takes an empty path for a name, and PGDATABASE would not count.
            "dsn": f"postgresql://{self.hosts}?{urlencode(kept)}",
            "server_settings": settings,
        }
        named = {"user": self.user, "password": self.password, "database": self.database}
        arguments |= {name: value for name, value in named.items() if value}
        if "target_session_attrs" in query:
            arguments["target_session_attrs"] = query["target_session_attrs"]
        return arguments


def parse_database_url(text: str) -> DatabaseURL:
    """Parse ``postgresql://…`` or ``postgresql+driver://…``.

    A ``%`` in the password that begins no valid escape stands for itself.

    Raises:
        ValueError: with what is wrong, and never with the password.
    """
    match = _URL.fullmatch(text.strip())
    if match is None:
        scheme = text.partition("://")[0] if "://" in text else ""
        found = f"its scheme is '{scheme}'" if scheme.isidentifier() or "+" in scheme else "it is not a URL"
        msg = f"The database URL is not usable: {found}. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(msg)
    driver = match["driver"]
    if driver is not None and driver not in _DRIVERS:
        msg = f"The database URL names the driver '{driver}'. Known drivers: {', '.join(sorted(_DRIVERS))}"
        raise ValueError(msg)
    for host in match["hosts"].split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not port.isdigit():
            # Not shown: with a / in the password, what stands here is the password's beginning.
            msg = "The database URL's port is no number. In user and password, write / as %2F, ? as %3F and # as %23"
            raise ValueError(msg)
    user, colon, password = (match["userinfo"] or "").partition(":")
    pairs = parse_qsl(match["query"] or "", keep_blank_values=True)
    query, hosts = dict(pairs), match["hosts"]
    several = [value for name, value in pairs if name == "host"]
    if len(several) > 1:  # as SQLAlchemy writes it
        hosts = ",".join(several)
        del query["host"]
    database = unquote(match["database"] or "") or query.pop("dbname", query.pop("database", ""))
    # "postgresql://" alone stands for libpq's variables; with a host in it, the database must be named,
    # because the drivers would silently take the user's name for it.
    if hosts and not database:
        msg = f"The database URL {redact(text)} names no database. Add it: …@{hosts}/DATABASE"
        raise ValueError(msg)
    return DatabaseURL(
        text=text.strip(),
        driver=driver,
        user=unquote(user or query.pop("user", "")) or None,
        password=unquote(password) if colon else query.pop("password", None),
        hosts=hosts,
        database=database,
        query=query,
    )


def _libpq_sslmode(value: str) -> str:
    """Return libpq's sslmode for what people write in asyncpg's ``ssl=``."""
    return {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable"}.get(
        value.lower(), value
    )


def is_tls_refusal(error: BaseException) -> bool:
    """Tell whether ``error`` says that TLS could not be agreed on; waiting does not heal that."""
    # asyncpg raises a bare ConnectionError, none of its subclasses, when the server refuses TLS.
    import ssl

    return isinstance(error, ssl.SSLError) or type(error) is ConnectionError
