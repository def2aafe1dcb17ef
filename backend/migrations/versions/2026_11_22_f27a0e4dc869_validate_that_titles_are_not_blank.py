"""Validate that titles are not blank.

Revision ID: f27a0e4dc869
Revises: e16f9d3cb758
Create Date: 2026-11-22 17:05:00+00:00

Does:      looks at the rows from before the check. Where one is blank it fails, and changes nothing.
Locks:     SHARE UPDATE EXCLUSIVE on conversations for one scan: reads and writes go on. It is a revision
           of its own, because in one transaction with the check it would scan under ACCESS EXCLUSIVE.
Old code:  goes on.
Rollback:  puts the check back as NOT VALID, in one statement, so that it holds all along.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "f27a0e4dc869"
down_revision: str | Sequence[str] | None = "e16f9d3cb758"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.execute("ALTER TABLE conversations VALIDATE CONSTRAINT ck_conversations_title_not_blank")


def downgrade() -> None:
    """Take the revision back."""
    op.execute(
        "ALTER TABLE conversations"
        " DROP CONSTRAINT ck_conversations_title_not_blank,"
        " ADD CONSTRAINT ck_conversations_title_not_blank CHECK (btrim(title) <> '') NOT VALID"
    )
