"""Write Alembic's version row by one statement for all revisions, where Alembic would compile one for each."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

from alembic.runtime import migration
from alembic.runtime.migration import HeadMaintainer, MigrationContext
from alembic.util import CommandError
from sqlalchemy import String, bindparam


class _OneStatement(HeadMaintainer):
    """Alembic's own, but for how the row moves from one revision to the next.

    It writes both ids into the statement, so that nothing that SQLAlchemy or the driver keeps of one serves the next:
    to compile it takes as long as most revisions do, and asyncpg prepares each. Here they are parameters.
    """

    def __init__(self, context: MigrationContext, heads: Any) -> None:
        super().__init__(context, heads)
        self._statement: Any = None

    def _update_version(self, from_: str, to_: str) -> None:
        if self._statement is None:
            table = self.context._version  # noqa: SLF001  as what this replaces
            # A String without a length: a cast to varchar(32) would cut a longer id, and say nothing.
            old, new = (bindparam(name, type_=String()) for name in ("sage_old", "sage_new"))
            self._statement = table.update().values(version_num=new).where(table.c.version_num == old)
        assert self.context.connection is not None
        assert to_ not in self.heads
        self.heads.remove(from_)
        self.heads.add(to_)
        result = self.context.connection.execute(self._statement, {"sage_old": from_, "sage_new": to_})
        if self.context.dialect.supports_sane_rowcount and result.rowcount != 1:
            table_name = self.context.version_table
            msg = (
                f"The version table '{table_name}' has {result.rowcount} rows at '{from_}', which was to become '{to_}'"
            )
            raise CommandError(msg)


@contextlib.contextmanager
def one_statement_for_all() -> Iterator[None]:
    """Let Alembic write its version row so meanwhile; an Alembic that does it in another way than those known is let be."""
    if not _is_known():
        yield
        return
    migration.HeadMaintainer = _OneStatement  # type: ignore[misc]
    try:
        yield
    finally:
        migration.HeadMaintainer = HeadMaintainer  # type: ignore[misc]


def _is_known() -> bool:
    """Tell whether it is Alembic's own that would be replaced, by the name and the parameters of 1.8 to 1.20."""
    update: Any = getattr(HeadMaintainer, "_update_version", None)
    return (
        migration.HeadMaintainer is HeadMaintainer
        and getattr(update, "__module__", None) == migration.__name__
        and list(inspect.signature(update).parameters) == ["self", "from_", "to_"]
    )
