"""The migration's role may not alter what is there."""

from collections.abc import Iterator

from sage_migrate.doctor.check import DatabaseCheck, DatabaseFacts
from sage_migrate.doctor.findings import Finding
from sage_migrate.session import quote_identifier, quote_literal

_SQL = """
SELECT pg_get_userbyid(class.relowner) AS owner, count(*) AS number, min(class.oid::regclass::text) AS example
FROM pg_class AS class WHERE class.relnamespace = {schema}::regnamespace AND class.relkind IN ('r', 'p')
AND NOT pg_has_role(current_user, class.relowner, 'USAGE')
AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = class.oid AND deptype = 'e')
GROUP BY class.relowner ORDER BY 1
"""


class MigrationRoleWithoutRights(DatabaseCheck):
    """Only the owner alters a table, and a schema's tables are made by who has CREATE on it."""

    severity = "error"

    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield a finding for each right that is missing."""
        (row,) = facts.rows("SELECT current_user AS name")
        role = str(row["name"])
        for schema in facts.schemas():
            quoted = quote_literal(quote_identifier(schema))
            (may,) = facts.rows(f"SELECT has_schema_privilege({quoted}::regnamespace::oid, 'CREATE') AS it")
            if not may["it"]:
                yield self.finding(
                    f"Role {role}, which migrates, may not create anything in schema {schema}.",
                    f"GRANT USAGE, CREATE ON SCHEMA {quote_identifier(schema)} TO {quote_identifier(role)};",
                )
            for row in facts.rows(_SQL.format(schema=quoted)):
                yield self.finding(
                    f"Role {role}, which migrates, does not own {row['number']} of the tables of schema {schema} (such as "
                    f"{row['example']}, owned by {row['owner']}): a revision that alters one fails (42501).",
                    f"GRANT {quote_identifier(row['owner'])} TO {quote_identifier(role)}; or migrate as the owner: "
                    f"--role {row['owner']} (SAGE_MIGRATE_ROLE); or ALTER TABLE … OWNER TO {quote_identifier(role)}.",
                )
