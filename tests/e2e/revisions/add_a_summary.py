"""Add a summary to conversations."""

import sqlalchemy as sa
from alembic import op

revision = "a11ce0000001"
down_revision = "f27a0e4dc869"


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("conversations", sa.Column("summary", sa.Text()))


def downgrade() -> None:
    """Take the revision back."""
    op.drop_column("conversations", "summary")
