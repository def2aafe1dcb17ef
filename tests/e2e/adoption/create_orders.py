"""Create orders: the first revision of a service that is not ours."""

import sqlalchemy as sa
from alembic import op

revision = "0de500000001"
down_revision = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table("orders", sa.Column("id", sa.Uuid(), primary_key=True), sa.Column("title", sa.Text()))


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("orders")
