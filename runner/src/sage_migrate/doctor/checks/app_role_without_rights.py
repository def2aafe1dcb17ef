"""The application's role may not use what the migration's role makes."""

from collections.abc import Iterator

from sage_migrate.doctor.check import CannotTell, DatabaseCheck, DatabaseFacts
from sage_migrate.doctor.findings import Finding
from sage_migrate.session import quote_identifier, quote_literal

# Of the schema, of a table and of a sequence that are there, and of those that the next revision makes: default
# privileges of the migration's role, in this schema or everywhere, to the application's role, one that it inherits
# from, or everybody. https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
_SQL = """
WITH asked AS (SELECT {app}::regrole::oid AS app, {owner}::regrole::oid AS owner, {schema}::regnamespace::oid AS space)
SELECT 'USAGE on the schema' AS lacks FROM asked WHERE NOT has_schema_privilege(app, space, 'USAGE')
UNION ALL
SELECT string_agg(DISTINCT privilege, ', ') || ' on ' || count(DISTINCT class.oid) || ' of its tables, such as '
|| min(class.oid::regclass::text)
FROM asked JOIN pg_class AS class ON relnamespace = space AND relkind IN ('r', 'p'),
unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE class.relname <> {version_table} AND pg_has_role(owner, class.relowner, 'MEMBER')
AND NOT has_table_privilege(app, class.oid, privilege)
HAVING count(*) > 0
UNION ALL
SELECT 'USAGE on ' || count(*) || ' of its sequences, such as ' || min(class.oid::regclass::text)
FROM asked JOIN pg_class AS class ON relnamespace = space AND relkind = 'S'
WHERE pg_has_role(owner, class.relowner, 'MEMBER') AND NOT has_sequence_privilege(app, class.oid, 'USAGE')
AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = class.oid AND deptype = 'i') -- identity
HAVING count(*) > 0
UNION ALL
SELECT string_agg(privilege, ', ' ORDER BY privilege) || ' on the ' || kind || ' that the next revision makes'
FROM asked, (VALUES ('r', 'tables', 'SELECT'), ('r', 'tables', 'INSERT'), ('r', 'tables', 'UPDATE'), ('r', 'tables', 'DELETE'),
('S', 'sequences', 'USAGE')) AS wanted (type, kind, privilege)
WHERE NOT EXISTS (
    SELECT FROM pg_default_acl AS given, aclexplode(given.defaclacl) AS item
    WHERE given.defaclrole = owner AND given.defaclnamespace IN (0, space) AND given.defaclobjtype = wanted.type::"char"
    AND item.privilege_type = wanted.privilege AND (item.grantee = 0 OR pg_has_role(app, item.grantee, 'USAGE'))
) GROUP BY kind
"""


class AppRoleWithoutRights(DatabaseCheck):
    """The deploy succeeds, and every request that meets the new table fails with 42501."""

    severity = "error"

    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield a finding for each schema, with the statements that put it right."""
        app, (row,) = facts.app_role, facts.rows("SELECT current_user AS owner")
        if app is None:
            reason = (
                f"only one role is known, {row['owner']}: --app-role (or the user of DATABASE_URL, beside "
                "SAGE_MIGRATE_DATABASE_URL) names the application's"
            )
            raise CannotTell(reason)
        owner = row["owner"]
        if not facts.rows(f"SELECT FROM pg_roles WHERE rolname = {quote_literal(app)}"):
            reason = f"the database has no role {app}"
            raise CannotTell(reason)
        (inherits,) = facts.rows(f"SELECT pg_has_role({quote_literal(app)}, {quote_literal(owner)}, 'USAGE') AS it")
        if inherits["it"]:
            return
        for schema in facts.schemas():
            lacks = facts.rows(
                _SQL.format(
                    app=quote_literal(quote_identifier(app)),
                    owner=quote_literal(quote_identifier(owner)),
                    schema=quote_literal(quote_identifier(schema)),
                    version_table=quote_literal(facts.context.version_table),
                )
            )
            if lacks:
                yield self.finding(
                    f"Role {app}, the application's, lacks in schema {schema} what role {owner} migrates: "
                    f"{'; '.join(row['lacks'] for row in lacks)}. The deploy succeeds, and the requests that need it fail (42501).",
                    _grants(quote_identifier(app), quote_identifier(owner), quote_identifier(schema)),
                )


def _grants(app: str, owner: str, schema: str) -> str:
    return f"""-- As {owner} or an administrator.
-- On RDS and Cloud SQL the administrator (postgres) is no superuser; there, first:
--   GRANT {owner} TO CURRENT_USER;
-- With IAM, once: RDS: GRANT rds_iam TO {app};
--   Cloud SQL: the role's name is the account's (a service account's without .gserviceaccount.com).
GRANT USAGE ON SCHEMA {schema} TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {app};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {app};"""
