"""Make accounts."""

import sqlalchemy as sa
from alembic import op

revision = "1ed6e0000001"
down_revision = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "accounts", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("owner", sa.String(), nullable=False)
    )


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("accounts")
