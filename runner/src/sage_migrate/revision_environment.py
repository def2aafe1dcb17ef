"""Alembic's environment with a transaction for each revision, and who it is that ends them."""

from typing import Any

from alembic.runtime.environment import EnvironmentContext
from sqlalchemy.engine import Connection


class RevisionEnvironment(EnvironmentContext):
    """Drives an env.py, whichever way it begins and ends transactions."""

    _alembic_ends = False

    def configure(self, connection: Connection | None = None, *args: Any, **options: Any) -> None:
        """Force one transaction a revision."""
        # Where Alembic is told so, it ends each revision's transaction, whoever began it.
        is_one_by_one = options.get("transactional_ddl") not in (None, True)
        self._alembic_ends = bool(options.get("transaction_per_migration")) or is_one_by_one
        super().configure(connection, *args, **{**options, "transaction_per_migration": True})

    def begin_transaction(self) -> Any:
        """Note that env.py leaves it to Alembic to begin and to end transactions."""
        self._alembic_ends = True
        return super().begin_transaction()

    def is_ended_by_hand(self, connection: Connection | None) -> bool:
        """Tell whether env.py has begun a transaction since `configure` which it will end; Alembic then lets it be.

        As it does where one was begun before `configure`: otherwise it would commit env.py's with the first revision.
        """
        is_so = not self._alembic_ends and connection is not None and bool(connection.in_transaction())
        if is_so:
            self.get_context()._in_external_transaction = True  # noqa: SLF001
        return is_so
