"""Released projects, unmodified: bare Alembic and the gate must end in the same schema."""
