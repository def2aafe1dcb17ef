"""Index conversations for the newest-first list of an organization.

Revision ID: c94d7b10e5f2
Revises: 8b2e4f6a9c31
Create Date: 2026-11-22 17:02:00+00:00

Does:      builds the index that ConversationRepo.list_for_org reads backwards, a page at a time.
Locks:     SHARE UPDATE EXCLUSIVE on conversations while it is built: reads and writes go on. It cannot run in
           a transaction. Without IF NOT EXISTS on purpose: that would keep an INVALID index of a failure.
Old code:  goes on.
Rollback:  drops the index; the list then sorts all conversations of the organization.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "c94d7b10e5f2"
down_revision: str | Sequence[str] | None = "8b2e4f6a9c31"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    with op.get_context().autocommit_block():
        op.create_index(
            op.f("ix_conversations_org_id_created_at_id"),
            "conversations",
            ["org_id", "created_at", "id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Take the revision back."""
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("ix_conversations_org_id_created_at_id"),
            table_name="conversations",
            postgresql_concurrently=True,
        )
