"""Nothing bounds the application's own statements and transactions."""

from collections.abc import Iterator

from sage_migrate.doctor.check import DatabaseCheck, DatabaseFacts
from sage_migrate.doctor.findings import Finding
from sage_migrate.session import quote_identifier, quote_literal

_SQL = """
SELECT name FROM (VALUES ('statement_timeout'), ('idle_in_transaction_session_timeout')) AS wanted (name)
WHERE (SELECT reset_val FROM pg_settings AS setting WHERE setting.name = wanted.name) = '0'
AND NOT EXISTS (
    SELECT FROM pg_db_role_setting AS given, unnest(given.setconfig) AS item
    WHERE given.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND given.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = {role}))
    AND split_part(item, '=', 1) = wanted.name AND split_part(item, '=', 2) <> '0'
) ORDER BY name DESC
"""
_SUGGESTED = {"statement_timeout": "30s", "idle_in_transaction_session_timeout": "60s"}


class NoTimeouts(DatabaseCheck):
    """A forgotten transaction keeps its locks for ever, and no migration gets past it."""

    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield a finding where neither server, database, role nor the application's source sets them."""
        if facts.sources_name_timeouts:
            return
        role = facts.app_role or str(facts.rows("SELECT session_user AS name")[0]["name"])
        unset = [row["name"] for row in facts.rows(_SQL.format(role=quote_literal(role)))]
        if unset:
            (database,) = facts.rows("SELECT current_database() AS name")
            where = f"ALTER ROLE {quote_identifier(role)} IN DATABASE {quote_identifier(database['name'])}"
            yield self.finding(
                f"Nothing sets {' or '.join(unset)}, neither for role {role}, its database or the server, nor in the "
                "application's source: one forgotten transaction keeps its locks for ever, and no migration gets past it.",
                "\n".join(f"{where} SET {name} = '{_SUGGESTED[name]}';" for name in unset),
            )
