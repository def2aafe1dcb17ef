"""Drop the index on org_id alone.

Revision ID: d05e8c2ba647
Revises: c94d7b10e5f2
Create Date: 2026-11-22 17:03:00+00:00

Does:      drops an index that nothing needs any more: the one for the list begins with org_id too, and serves
           the foreign key as well.
Locks:     SHARE UPDATE EXCLUSIVE on conversations, until the transactions that use it have ended: reads and
           writes go on.
Old code:  goes on; its queries use the other index.
Rollback:  builds the index again, concurrently.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "d05e8c2ba647"
down_revision: str | Sequence[str] | None = "c94d7b10e5f2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    with op.get_context().autocommit_block():
        op.drop_index(op.f("ix_conversations_org_id"), table_name="conversations", postgresql_concurrently=True)


def downgrade() -> None:
    """Take the revision back."""
    with op.get_context().autocommit_block():
        op.create_index(op.f("ix_conversations_org_id"), "conversations", ["org_id"], postgresql_concurrently=True)
