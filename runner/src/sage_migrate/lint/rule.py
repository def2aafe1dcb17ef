"""What a rule is, of revisions or of application code, and how they are found: each module in a family of ``rules`` holds one."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from sage_migrate.lint.analysis import Analysis, Step
from sage_migrate.lint.findings import Severity
from sage_migrate.lint.project import Module, Project


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a rule says at one place; hazards, line and column are the rule's and the step's unless given."""

    message: str
    help: str = ""
    hazards: tuple[str, ...] | None = None
    line: int | None = None
    column: int | None = None


class Rule(ABC):
    """A bad pattern. Its slug is its module's name; its examples ``bad`` and ``good`` are its tests.

    Those of a rule of revisions are bodies of ``upgrade()``; those of a module's rule are modules, each below a line
    ``# app/database.py`` where there are several.
    """

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


class ModuleRule(Rule):
    """Looks at a module of the application, with the whole project at hand."""

    @abstractmethod
    def check_module(self, module: Module, project: Project) -> Iterator[Finding]:
        """Yield what is wrong with the module; each finding names its line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionSource:
    """A revision's file, as far as rules ask for it."""

    path: str
    source: str
    tree: object


FAMILIES = {"SM1": "revisions", "SM2": "models", "SM3": "sessions", "SM4": "routes"}
"""The package of the rules whose codes begin so."""


@cache
def rules_of(family: str) -> tuple[Rule, ...]:
    """Return one of each rule of a family, by code; no other is imported, since a run on one file needs no other."""
    package = importlib.import_module(f"sage_migrate.lint.rules.{family}")
    found: list[Rule] = []
    for module in pkgutil.iter_modules(package.__path__):
        loaded = importlib.import_module(f"{package.__name__}.{module.name}")
        found += [
            each()
            for each in vars(loaded).values()
            if isinstance(each, type) and issubclass(each, Rule) and each.__module__ == loaded.__name__
        ]
    return tuple(sorted(found, key=lambda rule: rule.code))


def all_rules() -> tuple[Rule, ...]:
    """Return one of each rule, by code."""
    return tuple(rule for family in FAMILIES.values() for rule in rules_of(family))


def find_rule(code: str) -> Rule | None:
    """Return the rule of a code."""
    family = FAMILIES.get(code[:3])
    return next((rule for rule in rules_of(family) if rule.code == code), None) if family else None
