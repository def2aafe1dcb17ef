"""Give the conversations of old a summary, which no code reads yet."""

revision = "a11ce0000005"
down_revision = "a11ce0000004"
sage_migrate = {
    "online": True,
    "backfill": {"table": "conversations", "set": "summary = 'none'", "where": "summary IS NULL"},
}


def upgrade() -> None:
    """Do nothing more: the rows are set before this runs."""


def downgrade() -> None:
    """Leave what was set."""
