"""Create organizations and conversations.

Revision ID: 3f8a1c5d7e20
Revises:
Create Date: 2026-11-22 17:00:00+00:00

Does:      creates both tables, and the index that the foreign key needs.
Locks:     none that anybody could wait for; the tables are new.
Old code:  none.
Rollback:  drops both tables and all that is in them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "3f8a1c5d7e20"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], name=op.f("fk_conversations_org_id_organizations")),
    )
    op.create_index(op.f("ix_conversations_org_id"), "conversations", ["org_id"])


def downgrade() -> None:
    """Take the revision back."""
    op.drop_table("conversations")
    op.drop_table("organizations")
