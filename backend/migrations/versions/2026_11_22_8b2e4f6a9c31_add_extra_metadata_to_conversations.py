"""Add extra_metadata to conversations.

Revision ID: 8b2e4f6a9c31
Revises: 3f8a1c5d7e20
Create Date: 2026-11-22 17:01:00+00:00

Does:      adds the column; rows that exist read as {}.
Locks:     ACCESS EXCLUSIVE on conversations, briefly: a constant default is kept in the catalog, no row is
           rewritten (https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).
Old code:  goes on; it neither reads nor writes the column, which has a default on the server.
Rollback:  drops the column and what was stored in it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "8b2e4f6a9c31"
down_revision: str | Sequence[str] | None = "3f8a1c5d7e20"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.add_column(
        "conversations",
        sa.Column(
            "extra_metadata",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    """Take the revision back."""
    op.drop_column("conversations", "extra_metadata")
