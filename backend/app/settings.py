"""Settings, read from the environment once, when the service starts."""

from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

# asyncpg reads these, but only in a DSN of its own, not as the arguments that SQLAlchemy makes of a query.
_ASYNCPG_DSN_OPTIONS = frozenset(
    {
        "application_name",
        "options",
        "passfile",
        "service",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
    }
)
# What libpq knows and asyncpg has nothing for. The time to connect is bounded in `app.database`.
_LIBPQ_ONLY_OPTIONS = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    }
)


class Settings(BaseSettings):
    """What the service is told by its environment; durations are in seconds.

    The database is named by DATABASE_URL, by DATABASE_URL_FILE (a file that holds the URL, as a mounted
    secret does), or by libpq's PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE, in this order.
    """

    # An error must not print what it refuses: that is the URL, with the password in it.
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    database_url: SecretStr | None = None
    database_url_file: Path | None = None
    pghost: str | None = None

    # A pod holds at most the sum of both: 10 pods stay within PostgreSQL's default of 100.
    database_pool_size: PositiveInt = 5
    database_max_overflow: NonNegativeInt = 4
    database_pool_timeout_seconds: PositiveFloat = 5.0
    # Above the second for which a migration may hold a request up, below the patience of a client.
    database_statement_timeout_seconds: PositiveFloat = 10.0

    # How long a pod goes on serving after SIGTERM, while load balancers learn that it leaves.
    drain_seconds: NonNegativeFloat = 5.0

    @model_validator(mode="after")
    def _require_database(self) -> "Settings":
        """Refuse to start without a usable address, rather than fail at the first request."""
        _ = self.sqlalchemy_url
        return self

    @cached_property
    def sqlalchemy_url(self) -> URL:
        """The address of the database, for SQLAlchemy's asyncpg dialect.

        Raises:
            ValueError: where there is none, or none that can be used; the message never holds the password.
        """
        if self.database_url is not None:
            return _asyncpg_url(self.database_url.get_secret_value(), source="DATABASE_URL")
        if self.database_url_file is not None:
            try:
                text = self.database_url_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not text"
                msg = f"DATABASE_URL_FILE: {self.database_url_file} cannot be read: {reason}"
                raise ValueError(msg) from error
            return _asyncpg_url(text, source=f"The file {self.database_url_file}")
        if self.pghost is not None:
            return URL.create("postgresql+asyncpg")  # asyncpg reads the PG* variables itself
        msg = "No database is configured: set DATABASE_URL, DATABASE_URL_FILE, or PGHOST and its companions"
        raise ValueError(msg)


def _asyncpg_url(text: str, *, source: str) -> URL:
    """Return ``text``, a PostgreSQL URL written for any driver, as one for SQLAlchemy's asyncpg dialect."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # From None: the cause may quote the part of the password that it took for the port.
        msg = f"{source} is not a URL: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(msg) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        msg = f"{source} is for {url.get_backend_name()}; this service needs postgresql://"
        raise ValueError(msg)
    if url.host and not url.database:
        msg = f"{source} names no database: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(msg)
    query = {name: value for name, value in url.query.items() if name not in _LIBPQ_ONLY_OPTIONS}
    if "ssl" in query:
        ssl = query.pop("ssl")
        query.setdefault("sslmode", "require" if ssl == "true" else ssl)
    dsn_options = {name: query.pop(name) for name in _ASYNCPG_DSN_OPTIONS & query.keys()}
    if dsn_options:
        query["dsn"] = f"postgresql://?{urlencode(dsn_options, doseq=True)}"
    return url.set(drivername="postgresql+asyncpg", query=query)
