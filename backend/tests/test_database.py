"""The connections of the pool, as the server sees them."""

import pytest
from sqlalchemy import URL, text

from app.database import create_engine
from app.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("query", "name"), [({}, "conversations"), ({"application_name": "mine"}, "mine")])
async def test_connections_are_named_and_bounded(
    database: URL, monkeypatch: pytest.MonkeyPatch, query: dict[str, str], name: str
) -> None:
    """Whoever looks for what holds a lock sees whose it is, and nothing is held for ever."""
    url = database.update_query_dict(query)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("DATABASE_STATEMENT_TIMEOUT_SECONDS", "2.5")
    engine = create_engine(Settings())
    shown = {}
    async with engine.connect() as connection:
        for setting in ("application_name", "statement_timeout", "idle_in_transaction_session_timeout"):
            shown[setting] = await connection.scalar(text(f"SHOW {setting}"))
    await engine.dispose()
    assert shown == {
        "application_name": name,
        "statement_timeout": "2500ms",
        "idle_in_transaction_session_timeout": "2500ms",
    }
