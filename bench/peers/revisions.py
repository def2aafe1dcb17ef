"""The labelled revisions as an Alembic project and as the SQL that Alembic renders of it offline."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from labelled_revisions import CORPUS, LabelledRevision, read_corpus

_ENV = """\
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""
_BASE = '''\
"""The shop as it is."""

from alembic import op

revision = "shop"
down_revision = None


def upgrade() -> None:
    op.execute("""
{schema}
""")


def downgrade() -> None:
    raise NotImplementedError
'''


@dataclass(frozen=True, kw_only=True)
class Project:
    """All labelled revisions, each a head of its own on one base."""

    directory: Path
    cases: tuple[LabelledRevision, ...]

    @property
    def versions(self) -> Path:
        """The revisions' directory."""
        return self.directory / "alembic/versions"

    @property
    def labels(self) -> dict[str, frozenset[str]]:
        """The hazards of each."""
        return {case.name: case.hazards for case in self.cases}


def write_project(directory: Path) -> Project:
    """Write the project below ``directory``."""
    cases = tuple(read_corpus())
    _write(directory, cases)
    return Project(directory=directory, cases=cases)


def _write(directory: Path, cases: tuple[LabelledRevision, ...]) -> None:
    versions = directory / "alembic/versions"
    versions.mkdir(parents=True)
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    (directory / "alembic/env.py").write_text(_ENV)
    (versions / "shop.py").write_text(_BASE.format(schema=(CORPUS / "schema.sql").read_text().replace("\\", "\\\\")))
    for case in cases:
        source = case.source.replace(
            'down_revision = "base"', 'down_revision = "shop"'
        )  # Alembic's "base" is nothing at all
        (versions / f"{case.name}.py").write_text(source)


def render(project: Project, directory: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each revision's name and SQL, None where Alembic cannot render it offline; ``directory`` is for its files."""
    for case in project.cases:
        _write(directory / case.name, (case,))
        output = io.StringIO()
        config = Config(str(directory / case.name / "alembic.ini"), output_buffer=output, stdout=io.StringIO())
        try:
            command.upgrade(config, f"shop:{case.name}", sql=True)
        except Exception:  # noqa: BLE001  whatever a revision needs that is not there
            yield case.name, None
        else:
            # Alembic's own bookkeeping is no part of the revision.
            yield case.name, re.sub(r"(?m)^UPDATE alembic_version .*\n", "", output.getvalue())
