"""Take PostgreSQL schema migrations written with Alembic to production without breaking the application."""

__version__ = "0.1.0"
