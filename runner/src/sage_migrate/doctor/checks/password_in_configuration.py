"""A password stands in Alembic's configuration file."""

from collections.abc import Iterator

from sage_migrate.database_url import parse_database_url
from sage_migrate.doctor.check import ProjectCheck, ProjectFacts
from sage_migrate.doctor.findings import Finding


class PasswordInConfiguration(ProjectCheck):
    """The file is in the repository and in the image."""

    severity = "error"

    def check(self, facts: ProjectFacts) -> Iterator[Finding]:
        """Yield a finding for each such line; the placeholder of Alembic's own templates is none."""
        path = facts.settings.config_file
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            name, _, value = line.partition("=")
            try:
                url = parse_database_url(value.strip().strip("\"'"))
            except ValueError:
                continue
            if (
                not line.lstrip().startswith(("#", ";"))
                and url.password
                and not url.password.startswith(("%", "$", "{"))
            ):
                yield self.finding(
                    f"{name.strip()} holds a password: everybody with the repository or the image has it.",
                    "take the line out and read the URL in env.py from the environment (DATABASE_URL); sage-migrate sets "
                    "sqlalchemy.url from it. Then change the password.",
                    path=facts.shown(path.resolve()),
                    line=number,
                )
