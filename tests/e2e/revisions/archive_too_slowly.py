"""Let conversations be archived, with a statement that takes longer than it may; it keeps nobody waiting."""

import sqlalchemy as sa
from alembic import op

revision = "a11ce0000002"
down_revision = "a11ce0000001"


def upgrade() -> None:
    """Apply the revision."""
    op.create_table("archives", sa.Column("id", sa.Uuid(), primary_key=True))
    op.execute("INSERT INTO archives SELECT gen_random_uuid() FROM pg_sleep(60)")


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("archives")
