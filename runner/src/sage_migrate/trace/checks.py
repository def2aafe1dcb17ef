"""Checks beside the trace: one head, there and back again, and nothing left for autogenerate."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep

from sage_migrate.project import Project
from sage_migrate.timeline.words import enumerate_names
from sage_migrate.trace.description import Description, describe_schema, tell_difference
from sage_migrate.trace.pending import steps_for
from sage_migrate.trace.results import Check
from sage_migrate.trace.scratch_database import NotScratchError
from sage_migrate.trace.tracing import Tracing, told


def check_heads(project: Project) -> Check:
    """Tell whether the history has one head."""
    heads = project.heads
    if len(heads) == 1:
        return Check(name="single-head", passed=True)
    return Check(
        name="single-head",
        passed=False,
        message=f"the history has {len(heads)}: {', '.join(heads)}. Join them: alembic merge heads",
    )


def check_autogenerate(tracing: Tracing) -> Check:
    """Tell whether the models are what the history makes."""
    found: list[Any] = []

    def compare(context: MigrationContext) -> None:
        metadata = tracing.environment.target_metadata
        for each in metadata if isinstance(metadata, (list, tuple)) else [metadata]:
            found.extend(compare_metadata(context, each))

    if tracing.environment.target_metadata is None:
        return Check(
            name="autogenerate", passed=True, message="env.py sets no target_metadata, so there is nothing to compare"
        )
    try:
        tracing.environment.look(compare)
    except NotScratchError:
        raise
    except Exception as error:  # noqa: BLE001  the user's hooks take part
        return Check(name="autogenerate", passed=False, message=f"it raises: {told(error)}")
    words = [_say(each) for each in found]
    return Check(name="autogenerate", passed=not words, message=enumerate_names(words))


def _say(difference: Any) -> str:
    if isinstance(difference, list):
        return "; ".join(_say(each) for each in difference)
    kind, *rest = difference
    names = [str(getattr(each, "name", each)) for each in rest if isinstance(each, str) or getattr(each, "name", None)]
    return f"{kind.replace('_', ' ')} {'.'.join(names)}"


def check_round_trip(
    tracing: Tracing,
    revisions: Sequence[str],
    before: dict[str, Description],
    after: dict[str, Description],
    gone_back: Callable[[str], None],
) -> Iterator[Check]:
    """Yield, for each revision from the last, whether downgrade and upgrade lead to the schemas from before and after.

    ``gone_back`` hears of each revision that was taken back.
    """
    steps = steps_for(tracing.project, tracing.range.head)
    for place, revision in enumerate(reversed(revisions)):
        script = tracing.project.scripts[revision]
        step = MigrationStep.downgrade_from_script(tracing.project.script.revision_map, script)
        if revision not in after:  # it did not run, and was only noted as if it had
            step.migration_fn = lambda **_: None
            if _run(tracing, step):
                return
            continue
        name = f"round-trip {revision}"
        problem = _run(tracing, step)
        if problem:
            declared = problem.startswith("NotImplementedError")
            yield Check(
                name=name,
                passed=declared,
                message="it declares no way back" if declared else f"downgrade fails: {problem}",
            )
            return
        now = describe_schema(tracing.database.session, tracing.environment.version_table)
        if now == after[revision] != before[revision]:
            yield Check(name=name, passed=True, message="its downgrade changes nothing: there is no way back")
            return
        gone_back(revision)
        if now != before[revision]:
            yield Check(name=name, passed=False, message=f"after downgrade {tell_difference(before[revision], now)}")
            continue
        problem = _run(tracing, steps[revision])
        now = describe_schema(tracing.database.session, tracing.environment.version_table)
        if problem or now != after[revision]:
            message = (
                f"upgrade after downgrade fails: {problem}"
                if problem
                else f"after downgrade and upgrade {tell_difference(after[revision], now)}"
            )
            yield Check(name=name, passed=False, message=message)
            return
        yield Check(name=name, passed=True)
        if place < len(revisions) - 1:
            again = MigrationStep.downgrade_from_script(tracing.project.script.revision_map, script)
            if _run(tracing, again):
                return


def _run(tracing: Tracing, step: RevisionStep) -> str:
    """Apply a step; return what it raised."""
    try:
        tracing.environment.apply(lambda _heads: [step])
    except NotScratchError:
        raise
    except NotImplementedError as error:
        return f"NotImplementedError: {told(error)}"
    except (Exception, SystemExit) as error:  # noqa: BLE001  a revision can raise anything
        return told(error)
    return ""
