"""Let no conversation be without a summary."""

from alembic import op

revision = "a11ce0000006"
down_revision = "a11ce0000005"
sage_migrate = {"phase": "contract", "reason": "no code leaves the summary empty"}


def upgrade() -> None:
    """Apply the revision."""
    op.alter_column("conversations", "summary", nullable=False)


def downgrade() -> None:
    """Take the revision back."""
    op.alter_column("conversations", "summary", nullable=True)
