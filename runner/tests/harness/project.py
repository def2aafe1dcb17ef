"""An Alembic project on disk: its configuration, an env.py of some style, and revisions given as code."""

from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent

from harness import env_files

_INI = """
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
sqlalchemy.url = {url}
"""
_REVISION = '''
"""{revision}."""

import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {depends_on!r}
{head}

def upgrade():
{upgrade}

def downgrade():
{downgrade}
'''


@dataclass
class Project:
    """A project that grows as a test adds revisions."""

    directory: Path
    env: str = env_files.SYNC
    url: str = "driver://user:pass@localhost/dbname"
    last: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Write what every project has."""
        (self.migrations / "versions").mkdir(parents=True)
        self.write("alembic.ini", _INI.format(url=self.url))
        self.write("migrations/env.py", self.env)

    @property
    def migrations(self) -> Path:
        """The directory that script_location names."""
        return self.directory / "migrations"

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.directory / name
        path.write_text(dedent(text).lstrip())
        return path

    def add(  # noqa: PLR0913  what a revision file declares
        self,
        revision: str,
        upgrade: str = "pass",
        *,
        downgrade: str = "pass",
        down: str | tuple[str, ...] | None = "last",
        labels: tuple[str, ...] = (),
        depends_on: str | None = None,
        head: str = "",
    ) -> None:
        """Add a revision after the last one. ``upgrade`` is Python, or SQL when it begins with a capital."""
        code = {
            name: indent(f"op.execute({text!r})" if text[:1].isupper() else dedent(text).strip(), "    ")
            for name, text in (("upgrade", upgrade), ("downgrade", downgrade))
        }
        text = _REVISION.format(
            revision=revision,
            down=self.last if down == "last" else down,
            labels=labels or None,
            depends_on=depends_on,
            head=dedent(head),
            **code,
        )
        self.write(f"migrations/versions/{revision}.py", text)
        self.last = revision

    def remove(self, *revisions: str) -> None:
        """Take revisions out, as an older image lacks them."""
        for revision in revisions:
            self.migrations.joinpath("versions", f"{revision}.py").unlink()
