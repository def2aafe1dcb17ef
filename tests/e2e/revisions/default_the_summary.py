"""Give new conversations a summary; those that are there have none yet."""

from alembic import op

revision = "a11ce0000004"
down_revision = "a11ce0000001"


def upgrade() -> None:
    """Apply the revision."""
    op.alter_column("conversations", "summary", server_default="none")


def downgrade() -> None:
    """Take the revision back."""
    op.alter_column("conversations", "summary", server_default=None)
