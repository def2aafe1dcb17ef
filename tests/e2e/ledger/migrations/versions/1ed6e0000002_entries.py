"""Make entries, with an index that is built beside them."""

import sqlalchemy as sa
from alembic import op

revision = "1ed6e0000002"
down_revision = "1ed6e0000001"


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "entries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("account_id", sa.Integer(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("amount", sa.Numeric(18, 2), nullable=False),
    )
    with op.get_context().autocommit_block():
        op.create_index("ix_entries_account_id", "entries", ["account_id"], postgresql_concurrently=True)


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("entries")
