"""Let conversations be archived, by a statement that PostgreSQL refuses."""

import sqlalchemy as sa
from alembic import op

revision = "a11ce0000002"
down_revision = "a11ce0000001"


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("conversations", sa.Column("archived_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE conversations SET archived_at = creatd_at WHERE title = 'private words'")


def downgrade() -> None:
    """Take the revision back."""
    op.drop_column("conversations", "archived_at")
