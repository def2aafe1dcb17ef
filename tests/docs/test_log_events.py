"""docs/log-events.md and the source name the same events, with the same fields."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "runner" / "src" / "sage_migrate"
PAGE = REPOSITORY / "docs" / "log-events.md"


@dataclass
class Event:
    """What the source logs under one name."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    more: bool = False
    """Whether it also logs fields that only the run knows (``**facts``)."""


def logged() -> dict[str, Event]:
    """Return every event that the source logs."""
    events: dict[str, Event] = defaultdict(Event)
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for call, level in _log_calls(function):
                for name in _names(call.args[0], function):
                    event = events[name]
                    event.levels.add(level)
                    event.fields |= {keyword.arg for keyword in call.keywords if keyword.arg}
                    event.more |= any(keyword.arg is None for keyword in call.keywords)
    return events


def documented() -> dict[str, Event]:
    """Return every event that the page lists."""
    events = {}
    for names, level, fields in re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (\w+) \| (.*?) \|", PAGE.read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            events[name] = Event({level}, set(re.findall(r"`(\w+)`", fields)))
    return events


def test_page_lists_the_events_of_the_source() -> None:
    """Nothing is logged that the page lacks, and nothing is on the page that is not logged."""
    assert sorted(documented()) == sorted(logged())


def test_page_lists_the_fields_of_the_source() -> None:
    """A person who filters by a field finds it on the page."""
    page = documented()
    for name, event in logged().items():
        assert page[name].levels == event.levels, name
        if event.more:
            assert page[name].fields >= event.fields, name
        else:
            assert page[name].fields == event.fields, name


def _log_calls(function: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call of ``log.LEVEL(…)`` with its level."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            logger = node.func.value
            if isinstance(logger, ast.Name) and logger.id == "log":
                yield node, node.func.attr


def _names(argument: ast.expr, function: ast.AST) -> Iterator[str]:
    """Yield the names that an event's argument stands for: itself, or what the function assigns to it."""
    values = [argument]
    if isinstance(argument, ast.Name):
        assignments = (node for node in ast.walk(function) if isinstance(node, ast.Assign))
        values = [each.value for each in assignments if ast.unparse(each.targets[0]) == argument.id]
    for value in values:
        for node in ast.walk(value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
