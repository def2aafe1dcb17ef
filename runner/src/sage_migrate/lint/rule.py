"""What a rule of migrations is, and how all of them are found: each module in ``rules`` holds one."""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from sage_migrate.lint.analysis import Analysis, Step
from sage_migrate.lint.findings import Severity


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a rule says at one step; hazards and line are the rule's and the step's unless given."""

    message: str
    help: str = ""
    hazards: tuple[str, ...] | None = None
    line: int | None = None


class Rule(ABC):
    """A bad pattern. Its slug is its module's name; ``bad`` and ``good`` are bodies of ``upgrade()`` and its tests."""

    code: ClassVar[str]
    hazards: ClassVar[tuple[str, ...]] = ()
    severity: ClassVar[Severity] = "error"
    condition: ClassVar[str]
    effect: ClassVar[str]
    workaround: ClassVar[str]
    bad: ClassVar[str]
    good: ClassVar[str]

    @property
    def slug(self) -> str:
        """The name: the bad pattern."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")


class StepRule(Rule):
    """Looks at one action at a time."""

    @abstractmethod
    def check(self, step: Step) -> Iterator[Finding]:
        """Yield what is wrong with the step."""


class RevisionRule(Rule):
    """Looks at a revision's file as a whole."""

    @abstractmethod
    def check_revision(self, revision: "RevisionSource", analysis: Analysis) -> Iterator[Finding]:
        """Yield what is wrong with the revision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionSource:
    """A revision's file, as far as rules ask for it."""

    path: str
    source: str
    tree: object


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return one of each rule, by code."""
    from sage_migrate.lint import rules

    found: list[Rule] = []
    for module in pkgutil.iter_modules(rules.__path__):
        loaded = importlib.import_module(f"{rules.__name__}.{module.name}")
        found += [
            each()
            for _, each in inspect.getmembers(loaded, inspect.isclass)
            if issubclass(each, Rule) and each.__module__ == loaded.__name__ and not inspect.isabstract(each)
        ]
    return tuple(sorted(found, key=lambda rule: rule.code))
