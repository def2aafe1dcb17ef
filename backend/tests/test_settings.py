"""Where the database is, in every spelling that people write."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings

NO_URL = "is not a URL: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the environment says of a database away."""
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "PGHOST"):
        monkeypatch.delenv(name, raising=False)


def settings_error() -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(ValidationError) as refused:
        Settings()
    return str(refused.value)


@pytest.mark.parametrize(
    "scheme",
    [
        "postgresql",
        "postgres",
        "postgresql+asyncpg",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgresql+pg8000",
    ],
)
def test_the_driver_is_always_asyncpg(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Whatever driver a shared secret names, and with a newline at its end."""
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://me:secret@db:5433/sample\n")
    assert Settings().sqlalchemy_url == URL.create(
        "postgresql+asyncpg", username="me", password="secret", host="db", port=5433, database="sample"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("p%25w", "p%w"), ("100%", "100%"), ("p%zz", "p%zz"), ("p%40%2F%3A", "p@/:"), ("p$(x)", "p$(x)")],
)
def test_a_password_may_hold_anything(monkeypatch: pytest.MonkeyPatch, written: str, meant: str) -> None:
    """A percent sign that escapes nothing stands for itself."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{written}@db/sample")
    assert Settings().sqlalchemy_url.password == meant


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("?sslmode=require", {"dsn": "postgresql://?sslmode=require"}),
        ("?ssl=require", {"dsn": "postgresql://?sslmode=require"}),
        ("?ssl=true", {"dsn": "postgresql://?sslmode=require"}),
        ("?sslmode=require&channel_binding=require", {"dsn": "postgresql://?sslmode=require"}),
        ("?connect_timeout=10", {}),
        ("?prepared_statement_cache_size=0", {"prepared_statement_cache_size": "0"}),
        ("?host=/run/postgresql", {"host": "/run/postgresql"}),
    ],
)
def test_options_of_libpq_are_understood(monkeypatch: pytest.MonkeyPatch, query: str, expected: dict[str, str]) -> None:
    """Those that asyncpg reads in a DSN only are given to it in one."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me@db/sample{query}")
    assert Settings().sqlalchemy_url.query == expected


@pytest.mark.anyio
async def test_options_of_libpq_reach_the_server(monkeypatch: pytest.MonkeyPatch, server_url: URL) -> None:
    """`options` and `application_name` become settings of the connection."""
    url = server_url.update_query_dict(
        {"sslmode": "disable", "application_name": "sample app", "options": "-c work_mem=1234kB"}
    )
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    engine = create_async_engine(Settings().sqlalchemy_url)
    async with engine.connect() as connection:
        shown = [await connection.scalar(text(f"SHOW {name}")) for name in ("application_name", "work_mem")]
    await engine.dispose()
    assert shown == ["sample app", "1234kB"]


@pytest.mark.anyio
async def test_a_certificate_authority_is_not_ignored(
    monkeypatch: pytest.MonkeyPatch, server_url: URL, tmp_path: Path
) -> None:
    """Where `sslrootcert` is not there, nothing is connected to."""
    url = server_url.update_query_dict({"sslmode": "verify-full", "sslrootcert": str(tmp_path / "absent.pem")})
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    engine = create_async_engine(Settings().sqlalchemy_url)
    with pytest.raises(FileNotFoundError):
        await engine.connect()
    await engine.dispose()


def test_the_url_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a mounted secret is."""
    (tmp_path / "url").write_text("postgresql://me:secret@db/sample\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert Settings().sqlalchemy_url.render_as_string() == "postgresql+asyncpg://me:***@db/sample"


def test_the_variable_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The gate exports the URL that it chose as DATABASE_URL."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/chosen")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "absent"))
    assert Settings().sqlalchemy_url.database == "chosen"


def test_libpq_variables_are_left_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty DATABASE_URL counts as none."""
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("PGHOST", "db")
    assert Settings().sqlalchemy_url.render_as_string() == "postgresql+asyncpg://"


def test_without_a_database_the_service_does_not_start() -> None:
    """The message says what to set."""
    assert "No database is configured: set DATABASE_URL, DATABASE_URL_FILE, or PGHOST" in settings_error()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("secret", f"DATABASE_URL {NO_URL}"),
        ("postgresql://me:secret/word@db:port/sample", f"DATABASE_URL {NO_URL}"),
        ("mysql://me:secret@db/sample", "DATABASE_URL is for mysql; this service needs postgresql://"),
        ("postgresql://me:secret@db", "DATABASE_URL names no database"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    """The message never shows it: it has the password in it."""
    monkeypatch.setenv("DATABASE_URL", url)
    refused = settings_error()
    assert message in refused
    assert "secret" not in refused


def test_a_file_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names it."""
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "absent"))
    assert f"{tmp_path / 'absent'} cannot be read: No such file or directory" in settings_error()


def test_settings_never_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither do they where somebody logs them whole."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:secret@db/sample")
    settings = Settings()
    assert "secret" not in repr(settings) + str(settings.sqlalchemy_url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_MAX_OVERFLOW", "-1"),
        ("DATABASE_POOL_TIMEOUT_SECONDS", "0"),
        ("DATABASE_STATEMENT_TIMEOUT_SECONDS", "0"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "long"),
    ],
)
def test_a_number_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message names the setting."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/sample")
    monkeypatch.setenv(name, value)
    assert name.lower() in settings_error()
