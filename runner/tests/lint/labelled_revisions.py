"""The corpus: revisions of Alembic with the hazards that a real server shows them to have."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
_HEADER = '''"""{name}"""

import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "{name}"
down_revision = "base"
branch_labels = None
depends_on = None


'''
_NO_DOWNGRADE = "\n\ndef downgrade() -> None:\n    pass\n"


@dataclass(frozen=True, kw_only=True)
class LabelledRevision:
    """One revision, as its author would have written it."""

    name: str
    hazards: frozenset[str]
    source: str


def read_corpus() -> Iterator[LabelledRevision]:
    """Yield the revisions of every theme: ``### name: hazards`` and then a module, or the body of ``upgrade()``."""
    for theme in sorted(CORPUS.glob("*.txt")):
        for section in theme.read_text().split("### ")[1:]:
            head, _, body = section.partition("\n")
            name, _, hazards = head.partition(":")
            yield LabelledRevision(name=name, hazards=frozenset(hazards.split()), source=revision_of(name, body))


def revision_of(name: str, body: str) -> str:
    """Return a revision's source, of a module or of the body of its ``upgrade()``."""
    return _HEADER.format(name=name) + _module(body)


def _module(body: str) -> str:
    if "def upgrade(" not in body:
        body = f"def upgrade() -> None:\n{textwrap.indent(body, '    ')}"
    return body if "def downgrade(" in body else body.rstrip() + _NO_DOWNGRADE
