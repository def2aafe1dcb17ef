"""Require a title that is not blank, of new rows.

Revision ID: e16f9d3cb758
Revises: d05e8c2ba647
Create Date: 2026-11-22 17:04:00+00:00

Does:      adds the check NOT VALID: it holds for what is written from now on, and no row is looked at.
Locks:     ACCESS EXCLUSIVE on conversations, briefly.
Old code:  goes on: the API has refused blank titles from its first release.
Rollback:  drops the check.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "e16f9d3cb758"
down_revision: str | Sequence[str] | None = "d05e8c2ba647"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply the revision."""
    op.create_check_constraint(
        op.f("ck_conversations_title_not_blank"),
        "conversations",
        "btrim(title) <> ''",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    """Take the revision back."""
    op.drop_constraint(op.f("ck_conversations_title_not_blank"), "conversations", type_="check")
