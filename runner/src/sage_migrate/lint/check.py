"""Lints revisions in the order of their history, then the application's modules: asks the rules, applies the ignores."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sage_migrate.errors import UsageError
from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Analysis
from sage_migrate.lint.calming import weigh
from sage_migrate.lint.findings import Severity, Violation
from sage_migrate.lint.ignores import read_ignores
from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.project.files import find_files
from sage_migrate.lint.revisions import Revision, ancestors_that_matter, in_order, read_headers, read_revision_file
from sage_migrate.lint.rule import Finding, ModuleRule, RevisionRule, RevisionSource, Rule, StepRule, rules_of
from sage_migrate.lint.schema import Schema
from sage_migrate.stats.sizes import Sizes

if TYPE_CHECKING:
    from sage_migrate.lint.changes import Changes

UNUSED_IGNORE = "SM198"
UNREADABLE = "SM197"
SETTLED_CODES = (UNREADABLE, UNUSED_IGNORE)
"""Codes of what no rule finds."""
_UNKNOWN = Sizes(())
_LIBRARIES = ("sqlalchemy", "sqlmodel", "psycopg")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What is asked of a run."""

    paths: tuple[Path, ...] = (Path(),)
    since: str | None = None
    """The last released revision: it and what is before it is not linted; what is after it is one unreleased batch."""
    off: frozenset[str] = frozenset()
    severities: dict[str, Severity] = field(default_factory=dict)
    fail_on: Severity = "error"
    exclude: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    """Bases, as `app.models:Base`, whose models are imported and inspected: nothing else of a project is executed."""
    sizes: Sizes = _UNKNOWN
    """Of production's tables, as far as they are known."""
    changes: "Changes | None" = None
    """Where only these are asked for: their new revisions are one unreleased batch."""


# What is judged by how it was before, and what of a downgrade() tells that.
_CHANGES_OF_OLD = (ir.DropView, ir.CreateEnum, ir.AlterType, ir.DropConstraint, ir.DropIndex, ir.DropObject)
_MADE_AGAIN = (
    ir.CreateView,
    ir.CreateFunction,
    ir.CreateEnum,
    ir.AddConstraint,
    ir.CreateIndex,
    ir.AddColumn,
    ir.CreateTable,
    ir.AlterType,
)


def lint(settings: Settings) -> Iterator[Violation]:
    """Yield the violations in the revisions at ``settings.paths``, in the order of the history, then in the modules."""
    revisions: list[Revision] = []
    modules: list[Path] = []
    asked: set[Path] = set()
    single = [path for path in settings.paths if path.is_file()]
    for path in find_files(settings.paths):
        if any(path.match(pattern) for pattern in settings.exclude):
            continue
        try:
            revision = read_revision_file(path)
        except SyntaxError as error:
            yield Violation(
                code=UNREADABLE,
                rule="unreadable",
                hazards=(),
                path=_shown(path),
                line=error.lineno or 1,
                column=1,
                severity="error",
                message=f"This revision is no Python: {error.msg}.",
            )
            continue
        if revision is not None:
            revisions.append(revision)
            asked.add(path.absolute())
        else:
            modules.append(path)
    for revision in [each for each in revisions if each.path in single]:
        revisions += list(_history_of(revision, asked))
    released = _released(revisions, settings.since, {path.parent for path in single})
    schemas: dict[Path, tuple[Schema, set[str]]] = {}
    for revision in in_order(revisions):
        schema, unreleased = schemas.setdefault(revision.path.parent, (Schema(), set()))
        linted = revision.path.absolute() in asked and revision.identifier not in released
        fresh = settings.changes.is_new(revision.path) if settings.changes else bool(settings.since)
        batch = unreleased if fresh and revision.identifier not in released else set()
        found = list(check_revision(revision, schema, batch, sizes=settings.sizes, silent=not linted))
        if linted:
            yield from _configured(found, settings)
    project = Project(modules, settings.paths)
    seen = _seen_alive(settings.imports, project)
    for module in project.modules:
        yield from _configured(check_module(module, project, seen.pop(module, ())), settings)
    for module, alive in seen.items():  # imported, but not below the paths
        yield from _configured(_without_ignored(alive, module.path, module.source, module.tree), settings)


def _seen_alive(imports: tuple[str, ...], project: Project) -> dict[Module, list[Violation]]:
    """Return what the models show when they are imported, by module."""
    found: dict[Module, list[Violation]] = {}
    if imports:
        from sage_migrate.lint.models.live import inspect_models

        rules = {rule.code: rule for rule in rules_of("models")}
        for each in inspect_models(imports, project):
            module = project.module_at(each.path)
            if module is not None:
                found.setdefault(module, []).append(_violation(rules[each.code], each.finding, module.path, None))
    return found


def check_module(module: Module, project: Project, alive: Iterable[Violation] = ()) -> Iterator[Violation]:
    """Yield a module's violations; ``alive`` are those that its models showed when they were imported."""
    found: dict[Violation, None] = {}
    # Whatever else is no Python (a template, a test's data) is not ours to speak of.
    unread = any(library in module.source for library in _LIBRARIES) and not module.tree.body and module.error
    for rule in (*rules_of("models"), *rules_of("sessions"), *rules_of("routes")):
        if isinstance(rule, ModuleRule):
            try:
                for each in rule.check_module(module, project):
                    found[_violation(rule, each, module.path, None)] = None
            except RecursionError:
                unread = "it is nested too deeply"
    shown = {(each.code, each.line): each for each in alive}
    found = {each: None for each in found if (each.code, each.line) not in shown} | dict.fromkeys(shown.values())
    if unread:
        yield Violation(
            code=UNREADABLE,
            rule="unreadable",
            hazards=(),
            path=_shown(module.path),
            line=1,
            column=1,
            severity="note",
            message=f"This module was not judged: {unread}.",
        )
    if found or "sage-migrate:" in module.source:
        yield from _without_ignored(found, module.path, module.source, module.tree)


def check_revision(  # noqa: C901  the order of reading, walking and asking stands here once
    revision: Revision, schema: Schema, batch: set[str], *, sizes: Sizes = _UNKNOWN, silent: bool = False
) -> Iterator[Violation]:
    """Yield a revision's violations; ``schema`` takes in what it changes, and ``batch`` the tables that it makes."""
    from sage_migrate.lint.reader.operations import read_revision

    statements = read_revision(revision.path, revision.tree)
    before = Schema()
    if not silent and any(
        isinstance(action, _CHANGES_OF_OLD) for statement in statements for action in statement.actions
    ):
        for statement in read_revision(revision.path, revision.tree, "downgrade"):
            for action in statement.actions:
                if isinstance(action, _MADE_AGAIN):
                    _take_back(before, action)
    analysis = Analysis(
        statements=statements,
        schema=schema,
        before=before,
        contract=revision.declared.get("phase") == "contract",
        new_tables=batch,
    )
    found: list[Violation] = []
    step_rules = [rule for rule in rules_of("revisions") if isinstance(rule, StepRule)]
    for step in analysis.steps():
        if silent:
            continue
        for rule in step_rules:
            found += [
                weigh(_violation(rule, each, revision.path, step.statement), step, sizes) for each in rule.check(step)
            ]
    if silent:
        return
    source = RevisionSource(path=str(revision.path), source=revision.source, tree=revision.tree)
    for other in rules_of("revisions"):
        if isinstance(other, RevisionRule):
            found += [_violation(other, each, revision.path, None) for each in other.check_revision(source, analysis)]
    yield from _without_ignored(dict.fromkeys(found), revision.path, revision.source, revision.tree)


def _take_back(before: Schema, action: ir.Action) -> None:
    """Note what ``downgrade()`` makes again."""
    if isinstance(action, ir.AlterType):
        if action.type is not None:
            before.table(action.table).columns[action.column] = ir.Column(name=action.column, type=action.type)
    elif not isinstance(action, ir.CreateView) or action.table not in before.views:
        before.apply(action)


def _violation(rule: Rule, finding: Finding, path: Path, statement: ir.Statement | None) -> Violation:
    line = finding.line or (statement.line if statement else 1)
    return Violation(
        code=rule.code,
        rule=rule.slug,
        hazards=finding.hazards if finding.hazards is not None else rule.hazards,
        path=_shown(path),
        line=line,
        column=finding.column or (statement.column if statement and finding.line is None else 1),
        severity=rule.severity,
        message=finding.message.replace(ir.UNKNOWN, "…"),
        help=finding.help.replace(ir.UNKNOWN, "…"),
    )


def _without_ignored(found: Iterable[Violation], path: Path, source: str, tree: ast.Module) -> Iterator[Violation]:
    ignores = read_ignores(source, tree)
    for violation in sorted(found, key=lambda each: (each.line, each.code)):
        covering = [
            each for each in ignores if each.code == violation.code and each.first <= violation.line <= each.last
        ]
        for each in covering:
            each.used = True
        if not any(each.reason for each in covering):
            yield violation
    for each in ignores:
        problem = (
            "nothing here to ignore"
            if not each.used
            else ""
            if each.reason
            else "no reason given, so it does not count"
        )
        if problem:
            yield Violation(
                code=UNUSED_IGNORE,
                rule="unused-ignore",
                hazards=(),
                path=_shown(path),
                line=each.line,
                column=1,
                severity="warning",
                message=f"The ignore of {each.code} stands here with {problem}.",
                help=f"Instead: remove it, or write # sage-migrate: ignore {each.code} -- why",
            )


def _history_of(revision: Revision, asked: set[Path]) -> Iterator[Revision]:
    for path in ancestors_that_matter(revision):
        if path.absolute() not in asked:
            try:
                found = read_revision_file(path)
            except SyntaxError:
                continue
            if found is not None:
                yield found


def _released(revisions: list[Revision], since: str | None, directories: set[Path]) -> set[str]:
    """Return the start revision and those before it; ``directories`` are those of which only some files were read."""
    if since is None or not revisions:
        return set()
    parents = {name: each.parents for directory in directories for name, each in read_headers(directory).items()} | {
        each.identifier: each.parents for each in revisions
    }
    released: set[str] = set()
    waiting = [name for name in parents if name == since or (len(since) >= 4 and name.startswith(since))]  # noqa: PLR2004  as Alembic abbreviates
    if not waiting:
        raise UsageError(
            f"The start revision {since} is none of those that were read.",
            remedy="--since (or `since` in pyproject.toml) names the last released revision.",
        )
    while waiting:
        name = waiting.pop()
        if name not in released:
            released.add(name)
            waiting += parents.get(name, ())
    return released


def _configured(found: Iterable[Violation], settings: Settings) -> Iterator[Violation]:
    from dataclasses import replace

    for violation in found:
        if violation.code not in settings.off:
            severity = settings.severities.get(violation.code, violation.severity)
            yield replace(violation, severity=severity) if severity != violation.severity else violation


def _shown(path: Path) -> str:
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)
