"""Every spelling of a database URL means the same to the runner's session and to env.py's driver."""

# ruff: noqa: E501  messages are compared whole

import pytest
from sage_migrate.database_url import parse_database_url
from sqlalchemy.engine import make_url


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:p%25w%40%2F@h:5433/app",
        "postgres://u:p%25w%40%2F@h:5433/app",
        "postgresql+asyncpg://u:p%25w%40%2F@h:5433/app",
        "postgresql+psycopg2://u:p%w@%2F@h:5433/app",
        " postgresql://u:p%25w%40%2F@h:5433/app\n",
        "postgresql://h:5433/app?user=u&password=p%25w%40%2F",
        "postgresql://u:p%25w%40%2F@h:5433?dbname=app",
    ],
)
def test_one_database_in_many_spellings(text: str) -> None:
    """The scheme, the driver, percent signs and where the parts stand make no difference."""
    url = parse_database_url(text)
    arguments = url.asyncpg_arguments()
    assert (arguments["user"], arguments["password"], arguments["database"]) == ("u", "p%w@/", "app")
    assert arguments["dsn"] == "postgresql://h:5433?"
    assert url.with_driver("psycopg2") == "postgresql+psycopg2://u:p%25w%40%2F@h:5433/app"
    for driver in ("psycopg2", "psycopg", "asyncpg"):
        made = make_url(url.with_driver(driver))
        assert (made.username, made.password, made.host, made.port, made.database) == ("u", "p%w@/", "h", 5433, "app")


@pytest.mark.parametrize(
    ("query", "sslmode", "for_asyncpg", "for_psycopg"),
    [
        ("sslmode=require", "require", "ssl=require", "sslmode=require"),
        ("ssl=require", "require", "ssl=require", "sslmode=require"),
        ("ssl=true", "require", "ssl=true", "sslmode=require"),
        ("ssl=false", "disable", "ssl=false", "sslmode=disable"),
        ("sslmode=verify-full&sslrootcert=%2Fca.pem", "verify-full", "sslrootcert=%2Fca.pem&ssl=verify-full", "sslmode=verify-full&sslrootcert=%2Fca.pem"),
    ],
)  # fmt: skip
def test_tls_in_each_drivers_spelling(query: str, sslmode: str, for_asyncpg: str, for_psycopg: str) -> None:
    """Asyncpg's dialect calls it ssl, the libpq drivers sslmode."""
    url = parse_database_url(f"postgresql://u@h/app?{query}")
    assert f"sslmode={sslmode}" in url.asyncpg_arguments()["dsn"]
    assert url.with_driver("asyncpg") == f"postgresql+asyncpg://u@h/app?{for_asyncpg}"
    assert url.with_driver("psycopg") == f"postgresql+psycopg://u@h/app?{for_psycopg}"


def test_settings_of_the_server() -> None:
    """``options=-c`` becomes server settings; an option of SQLAlchemy's dialect does not."""
    arguments = parse_database_url(
        "postgresql+asyncpg://u@h/app?options=-c%20search_path%3Dapp%20-cwork_mem%3D8MB&prepared_statement_cache_size=0"
    ).asyncpg_arguments()
    assert arguments["server_settings"] == {"search_path": "app", "work_mem": "8MB"}
    assert arguments["dsn"] == "postgresql://h?"


def test_several_hosts_and_a_socket() -> None:
    """Libpq's ways to name a server are kept."""
    several = parse_database_url("postgresql://u@a:1,b:2/app?target_session_attrs=read-write")
    assert several.asyncpg_arguments()["dsn"] == "postgresql://a:1,b:2?"
    assert several.asyncpg_arguments()["target_session_attrs"] == "read-write"
    for_sqlalchemy = several.with_driver("psycopg2")
    assert for_sqlalchemy == "postgresql+psycopg2://u@/app?target_session_attrs=read-write&host=a%3A1&host=b%3A2"
    assert parse_database_url(for_sqlalchemy).hosts == "a:1,b:2"
    socket = parse_database_url("postgresql://u@/app?host=/run/postgresql")
    assert socket.asyncpg_arguments()["dsn"] == "postgresql://?host=%2Frun%2Fpostgresql"
    ipv6 = parse_database_url("postgresql://u@[::1]:5433/app")
    assert make_url(ipv6.with_driver("psycopg2")).host == "::1"


def test_the_password_is_not_shown() -> None:
    """Neither by str() nor by repr()."""
    url = parse_database_url("postgresql://u:hunter2@h/app?password=hunter2")
    assert str(url) == "postgresql://u:***@h/app?password=***"
    assert "hunter2" not in repr(url)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "The database URL is not usable: it is not a URL. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("mysql://u:hunter2@h/d", "The database URL is not usable: its scheme is 'mysql'. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("hunter2://", "The database URL is not usable: its scheme is 'hunter2'. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql+odbc://u:hunter2@h/d", "The database URL names the driver 'odbc'. Known drivers: asyncpg, pg8000, psycopg, psycopg2, psycopg_async"),
        ("postgresql://u:hunter2@h", "The database URL postgresql://u:***@h names no database. Add it: …@h/DATABASE"),
        ("postgresql://u:hunter2@h:5432/", "The database URL postgresql://u:***@h:5432/ names no database. Add it: …@h:5432/DATABASE"),
        ("postgresql://u:hunter2/x@h/d", "The database URL's port is no number. In user and password, write / as %2F, ? as %3F and # as %23"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, problem: str) -> None:
    """One sentence that says what is wrong and how it is written."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(text)
    assert str(caught.value) == problem
