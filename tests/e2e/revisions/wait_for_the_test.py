"""Do half of the work, then wait until the test lets the other half go on."""

import sqlalchemy as sa
from alembic import op

revision = "a11ce0000003"
down_revision = "f27a0e4dc869"


def upgrade() -> None:
    """Apply the revision; the tables of the schema "test" are the test's, see wait_for_the_test.sql."""
    op.create_table("notes", sa.Column("id", sa.Uuid(), primary_key=True))
    op.execute("INSERT INTO test.runs DEFAULT VALUES")
    op.execute("CALL test.wait()")
    op.create_index("ix_notes_id", "notes", ["id"])


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("notes")
