"""The revisions that came after the first: what they do to rows that exist."""

from collections.abc import Callable

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError

ORGANIZATION = "INSERT INTO organizations (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'Acme')"
CONVERSATION = "INSERT INTO conversations (org_id, title) VALUES ('00000000-0000-0000-0000-000000000001', '{title}')"

Execute = Callable[..., list[asyncpg.Record]]


def test_rows_from_before_extra_metadata_read_as_empty(
    alembic_config: Config, empty_database: URL, execute: Execute
) -> None:
    """The column is added with a value for every row."""
    command.upgrade(alembic_config, "3f8a1c5d7e20")
    execute(empty_database, ORGANIZATION, CONVERSATION.format(title="old"))
    command.upgrade(alembic_config, "head")
    (row,) = execute(empty_database, "SELECT title, extra_metadata FROM conversations")
    assert tuple(row) == ("old", "{}")


def test_a_blank_title_from_before_the_check_stops_its_validation(
    alembic_config: Config, empty_database: URL, execute: Execute
) -> None:
    """The run ends there, at the revision before, and goes on when the row is mended."""
    command.upgrade(alembic_config, "d05e8c2ba647")
    execute(empty_database, ORGANIZATION, CONVERSATION.format(title=" "))
    with pytest.raises(IntegrityError, match="ck_conversations_title_not_blank"):
        command.upgrade(alembic_config, "head")
    (version,) = execute(empty_database, "TABLE alembic_version")
    assert version["version_num"] == "e16f9d3cb758"
    execute(empty_database, "UPDATE conversations SET title = 'mended'")
    command.upgrade(alembic_config, "head")


def test_a_blank_title_is_refused_while_the_check_is_not_validated(
    alembic_config: Config, empty_database: URL, execute: Execute
) -> None:
    """NOT VALID is about the rows that exist."""
    command.upgrade(alembic_config, "e16f9d3cb758")
    execute(empty_database, ORGANIZATION)
    with pytest.raises(asyncpg.CheckViolationError):
        execute(empty_database, CONVERSATION.format(title="  "))
