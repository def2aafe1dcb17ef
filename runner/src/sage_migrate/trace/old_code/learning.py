"""What stands for the old code, and for the new one, in a trace."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sage_migrate.errors import UsageError
from sage_migrate.project import Project
from sage_migrate.trace.old_code.checking import Spoken
from sage_migrate.trace.old_code.defaults import Defaults, changed_defaults, read_defaults
from sage_migrate.trace.old_code.from_file import read_file
from sage_migrate.trace.old_code.from_models import checkout, load_models, tables_of_models
from sage_migrate.trace.old_code.from_tables import MappedTable, statements_of, tables_of_schema
from sage_migrate.trace.old_code.image import Release, unpacked
from sage_migrate.trace.old_code.mapped import describe
from sage_migrate.trace.old_code.statements import OldStatement
from sage_migrate.trace.options import Options
from sage_migrate.trace.results import Breakage
from sage_migrate.trace.scratch_database import ScratchSession
from sage_migrate.trace.tracing import Tracing
from sage_migrate.trace.values import Values

# An undefined table, column or schema.
_UNKNOWN_NAMES = ("42P01", "42703", "3F000")


@dataclass(kw_only=True, slots=True)
class Code:
    """A release's code as its statements, with what works on the schema that it was made for."""

    spoken: Spoken
    tables: Sequence[MappedTable]
    defaults: Defaults
    source: str
    notes: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def broken(self, session: ScratchSession, changed: set[str] | None = None) -> list[Breakage]:
        """Return what does not work on the schema that is there now, and was not told of before."""
        found = [
            *self.spoken.broken(session, changed),
            *changed_defaults(self.tables, self.defaults, read_defaults(session)),
        ]
        fresh = [each for each in found if each.sql not in self._told]
        self._told |= {each.sql for each in fresh}
        return fresh


def learn_old_code(
    session: ScratchSession, values: Values, options: Options, project: Project, version_table: str
) -> Code:
    """Return the old code that the options name; without any, code that uses all of the old schema.

    Raises:
        UsageError: the models or the file cannot be loaded.
    """
    notes: list[str] = []
    sources: list[str] = []
    tables: list[MappedTable] = []
    statements: list[OldStatement] = []
    if options.old_statements is not None:
        statements, left_out = read_file(options.old_statements)
        sources.append(f"{len(statements)} statements of {options.old_statements}")
        if left_out:
            notes.append(
                f"{left_out} texts of {options.old_statements} neither read nor write rows, and were left out."
            )
    if options.old_ref or options.old_image or options.old_models:
        with contextlib.ExitStack() as stack:
            if options.old_image:
                release, named = stack.enter_context(unpacked(options.old_image)), f"the models in {options.old_image}"
            elif options.old_ref:
                release, named = (
                    stack.enter_context(checkout(options.old_ref, Path.cwd())),
                    f"the models at {options.old_ref}",
                )
            else:
                release, named = Release(directory=Path.cwd()), f"the models {options.old_models}"
            tables = tables_of_models(load_models(release, options.old_models, project))
        sources.append(named)
        if not tables:
            raise UsageError("The old models map no table.", remedy="Name the base class by --old-models MODULE:BASE.")
    if not sources:
        tables = tables_of_schema(values, version_table)
        sources.append("everything in the schema before (name the release that still serves by --old-ref)")
    return _learn(session, [*statements, *statements_of(tables, values)], tables, " and ".join(sources), notes)


def learn_new_code(tracing: Tracing) -> Code | None:
    """Return what the models of today say, once the database is at their head; None where env.py names none."""
    metadata = tracing.environment.target_metadata
    if metadata is None:
        return None
    found = []
    for each in metadata if isinstance(metadata, (list, tuple)) else [metadata]:
        found += describe(each)
    tables = tables_of_models(found)
    session = tracing.database.session
    return _learn(session, list(statements_of(tables, Values(session))), tables, "the models", [])


def _learn(
    session: ScratchSession, statements: list[OldStatement], tables: list[MappedTable], source: str, notes: list[str]
) -> Code:
    spoken = Spoken(statements=statements)
    spoken.learn(session)
    strange = [each for each, answer in spoken.answers.items() if answer.sqlstate in _UNKNOWN_NAMES]
    if strange:
        notes.append(
            f"{len(strange)} statements name what the old schema lacks, and say nothing: {strange[0].sql[:120]} … "
            f"({spoken.answers[strange[0]].problem})"
        )
    return Code(spoken=spoken, tables=tables, defaults=read_defaults(session), source=source, notes=notes)
