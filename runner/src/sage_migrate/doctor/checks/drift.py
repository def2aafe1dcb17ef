"""The models and the database say different things."""

from collections.abc import Iterator, Sequence
from typing import Any

from alembic.autogenerate import compare_metadata

from sage_migrate.doctor.check import CannotTell, DatabaseCheck, DatabaseFacts
from sage_migrate.doctor.findings import Finding

_SHOWN = 20
_SIDES = {"add": "only in the models", "remove": "only in the database"}


class Drift(DatabaseCheck):
    """Alembic's own comparison, with env.py's own options."""

    def check(self, facts: DatabaseFacts) -> Iterator[Finding]:
        """Yield one finding with all differences."""
        if not facts.metadata:
            reason = "env.py gives Alembic no target_metadata"
            raise CannotTell(reason)
        if set(facts.heads) != set(facts.project.heads):
            reason = (
                f"the database is at {', '.join(facts.heads) or 'no revision'}, and the models belong to "
                f"{', '.join(facts.project.heads) or 'no revision'}"
            )
            raise CannotTell(reason)
        found = compare_metadata(facts.context, facts.context.opts["target_metadata"])
        lines = sorted({_describe(each) for group in found for each in (group if isinstance(group, list) else [group])})
        if lines:
            more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            yield self.finding(
                "The database is at head, and still differs from the models:\n"
                + "\n".join(f"- {line}" for line in (*lines[:_SHOWN], *more)),
                "write a revision (alembic revision --autogenerate) and read it before it is merged; or exempt what is not "
                "the models' by include_object in env.py.",
            )


def _describe(diff: Sequence[Any]) -> str:
    """Return one of Alembic's differences in words.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#getting-diffs
    """
    kind = str(diff[0])
    action, _, what = kind.partition("_")
    what = {"fk": "foreign key"}.get(what, what.replace("_", " "))
    if action == "modify":
        schema, table, column = diff[1:4]
        return f"{what} of {_qualified(schema, table)}.{column}: {_shown(diff[-2])} in the database, {_shown(diff[-1])} in the models"
    side = _SIDES.get(action, action)
    if what == "column":
        schema, table, column = diff[1:4]
        return f"column {_qualified(schema, table)}.{column.name} is {side}"
    thing = diff[1]
    table = getattr(thing, "table", None)
    if table is None:
        return f"{what} {getattr(thing, 'fullname', getattr(thing, 'name', thing))} is {side}"
    return f"{what} {thing.name or 'without a name'} of {table.fullname} is {side}"


def _qualified(schema: str | None, table: str) -> str:
    return f"{schema}.{table}" if schema else table


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(getattr(value, "arg", value))
