"""Credentials and data do not get into what is logged."""

import pytest
from sage_migrate.redact import redact, shorten_sql


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:hunter2@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql+asyncpg://u:hunter2@h/d?ssl=require", "postgresql+asyncpg://u:***@h/d?ssl=require"),
        ("postgresql://u:hun%40ter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hun@ter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hun/ter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hun:ter2#?@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:hunter2@h/d", "postgresql://:***@h/d"),
        ("POSTGRESQL://u:hunter2@h/d", "POSTGRESQL://u:***@h/d"),
        ("cannot use 'postgresql://u:hunter2@h/d': no", "cannot use 'postgresql://u:***@h/d': no"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        ("host=h password='hunter 2' user=u", "host=h password=*** user=u"),
        ("postgresql://h/d?user=u&password=hunter2&sslmode=require", "postgresql://h/d?user=u&password=***&sslmode=require"),
        ("sslpassword=hunter2", "sslpassword=***"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("DB_PASSWORD: hunter2", "DB_PASSWORD: ***"),
        ("passwd = hunter2", "passwd = ***"),
        ("{'user': 'u', 'password': 'hunter2', 'port': 1}", "{'user': 'u', 'password': ***, 'port': 1}"),
        ('{"password":"hunter2"}', '{"password":***}'),
        ("connect(password='hunter2')", "connect(password=***)"),
        ("access_token=hunter2; client_secret=hunter2", "access_token=***; client_secret=***"),
        ('password authentication failed for user "u"', 'password authentication failed for user "u"'),
        ("The password command printed nothing.", "The password command printed nothing."),
        ("", ""),
    ],
)  # fmt: skip
def test_credentials_are_taken_out(text: str, expected: str) -> None:
    """Every form in which a password is written, and nothing else."""
    assert redact(text) == expected
    assert "hunter" not in redact(text)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t VALUES ('secret', 'it''s', 42, 1.5e-3)", "INSERT INTO t VALUES (?, ?, ?, ?)"),
        ("SELECT E'secret\\'s', b'01', U&'secret', $$secret$$, $q$it's a secret$q$", "SELECT ?, ?, ?, ?, ?"),
        ("UPDATE t1 SET c2 = $1 WHERE id = -7", "UPDATE t1 SET c2 = $1 WHERE id = -?"),
        ('SELECT "it\'s", \'secret\' FROM "t 2"', 'SELECT "it\'s", ? FROM "t 2"'),
        ("SELECT 1 -- it's\n, 'secret'", "SELECT ? , ?"),
        ("SELECT /* it's a secret */ 'secret'", "SELECT ?"),
        ("INSERT INTO t VALUES ('cut off by pg_stat_activity: secr", "INSERT INTO t VALUES (?"),
        ("DO $$ BEGIN PERFORM 'secret'; EN", "DO ?"),
        ("SELECT 'a' /* cut off: 'secret", "SELECT ?"),
        ("ALTER TABLE\n  a.b\tADD c text", "ALTER TABLE a.b ADD c text"),
        ("", ""),
    ],
)
def test_literals_are_taken_out(sql: str, expected: str) -> None:
    """Values, comments and line breaks go, names stay; also in a query that was cut off."""
    assert shorten_sql(sql) == expected


def test_literals_stay_when_asked_for() -> None:
    """Comments go all the same, but not what only looks like one."""
    assert shorten_sql("SELECT '-- secret', \"/*\" /* gone */, 7", literals=True) == "SELECT '-- secret', \"/*\" , 7"


def test_long_sql_is_shortened() -> None:
    """300 characters are enough to know a statement by."""
    assert len(shorten_sql("SELECT " + ", ".join(["column"] * 100))) == 300
