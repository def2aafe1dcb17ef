"""Record the statements that an application says to PostgreSQL, without their values: what `trace --old-statements` reads.

Needs SQLAlchemy alone, 1.4 to 2.1, with any driver, sync or async.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import event
from sqlalchemy.engine import Engine

from sage_migrate.async_guard import call_stack, user_frame

_ROWS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES)\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"%\((?P<name>[^)]*)\)s|%s|%%")
# What differs by how many values there are: a list of IN, the rows of an INSERT.
_NUMBER = re.compile(r"\$\d+")
_VALUES = re.compile(r"(\$(?:::[\w ]+(?:\([\d, ]+\))?(?:\[\])?)?)(?:, \$(?:::[\w ]+(?:\([\d, ]+\))?(?:\[\])?)?)+")
_TUPLES = re.compile(r"(\([^()]*\))(?:, \1)+")


class StatementRecorder:
    """Every statement that reads or writes rows, once for each shape, with the line that sent it first."""

    def __init__(self) -> None:
        """Record nothing yet."""
        self._found: dict[str, dict[str, str]] = {}
        self._heard: set[int] = set()

    def __enter__(self) -> Self:
        """Listen to every engine of this process."""
        event.listen(Engine, "before_cursor_execute", self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        event.remove(Engine, "before_cursor_execute", self._hear)

    @property
    def statements(self) -> list[dict[str, str]]:
        """What was heard: ``query`` with ``$1`` … for its values, and ``source``."""
        return list(self._found.values())

    def add(self, statements: Iterable[Mapping[str, str]]) -> None:
        """Take in what another process heard."""
        for each in statements:
            self._keep(each["query"], each["source"])

    def write(self, file: Path) -> None:
        """Write what was heard as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.statements, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def _hear(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        known = hash(statement)
        if known in self._heard:
            return
        self._heard.add(known)
        if connection.dialect.name == "postgresql" and _ROWS.match(statement):
            frame = user_frame(tuple(call_stack()))
            file = Path(frame.f_code.co_filename)
            shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
            self._keep(_numbered(statement), f"{shown}:{frame.f_lineno}")

    def _keep(self, query: str, source: str) -> None:
        """Keep the shortest of its shape: of rows that are inserted together one is enough."""
        shape = _TUPLES.sub(r"\1", _VALUES.sub(r"\1", _NUMBER.sub("$", query)))
        known = self._found.get(shape)
        if known is None:
            self._found[shape] = {"query": query, "source": source}
        elif len(query) < len(known["query"]):
            known["query"] = query


def _numbered(statement: str) -> str:
    """Return the statement with PostgreSQL's own parameters, whatever the driver's are."""
    numbers: dict[str, int] = {}
    if all(match[0] == "%%" for match in _PLACEHOLDER.finditer(statement)):
        return statement

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return f"${numbers.setdefault(match['name'] or str(len(numbers)), 1 + len(numbers))}"

    return _PLACEHOLDER.sub(number, statement)
