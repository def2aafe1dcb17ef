"""For a terminal: each revision with its statements, and what they hold, read and write."""

from collections.abc import Iterator

from sage_migrate.redact import shorten_sql
from sage_migrate.timeline.lock_modes import effect_of, spell_mode, strength_of
from sage_migrate.timeline.results import HeldLock
from sage_migrate.timeline.words import TIMES, count, enumerate_names, spell_seconds
from sage_migrate.trace.results import Hazard, RevisionTrace, Statement, Trace


def as_text(trace: Trace) -> str:
    """Return the whole trace."""
    if not trace.revisions:
        return "No revision is new in this range."
    return "\n\n".join(["\n".join(_revision(each)) for each in trace.revisions] + ["\n".join(_end(trace))])


def _revision(revision: RevisionTrace) -> Iterator[str]:
    title = f"{revision.revision} {revision.description}".strip()
    yield f"{title}  [{revision.verdict}{', declared contract' if revision.declared == 'contract' else ''}]"
    yield f"  {revision.path}, {spell_seconds(revision.duration_seconds)}, {count(len(revision.statements), 'statement')}"
    for number, each in enumerate(revision.statements, 1):
        yield from _statement(number, each)
    if revision.problem:
        yield f"  FAILED: {revision.problem}"
    for note in revision.notes:
        yield f"  note: {note}"
    for hazard in revision.hazards:
        yield from _hazard(hazard, revision)
    for breakage in revision.new_code_breaks:
        yield f"  rollback: on the schema before it, new code fails: {breakage.source}: {breakage.problem}"


def _statement(number: int, statement: Statement) -> Iterator[str]:
    times = f" {TIMES} {statement.executions:,}" if statement.executions > 1 else ""
    yield f"  {number:>3}  {spell_seconds(statement.duration_seconds):>8}  {shorten_sql(statement.sql, literals=True)}{times}"
    for fact in facts_of(statement):
        yield f"                 {fact}"


def facts_of(statement: Statement, *, locks: bool = True) -> Iterator[str]:
    """Yield what is worth knowing of a statement, one line each."""
    for lock in telling_locks(statement) if locks else ():
        yield f"{spell_mode(lock.mode)} on {lock.relation}, held {spell_seconds(lock.held_seconds)}"
    told = (
        ("writes anew", (*statement.rewrites, *statement.index_rewrites)),
        ("reads all of", statement.scans),
        ("builds", statement.indexes_built),
        ("holds for every row from now on:", statement.constraints_validated),
        ("writes rows of", tuple(f"{name} ({rows:,})" for name, rows in (statement.rows_written or {}).items())),
    )
    for verb, names in told:
        if names:
            yield f"{verb} {enumerate_names(names)}"
    if statement.estimate:
        yield statement.estimate
    if statement.problem:
        yield f"failed: {statement.problem}"


def telling_locks(statement: Statement) -> list[HeldLock]:
    """Return the strongest lock on each table, where it is more than a query takes."""
    strongest: dict[str, HeldLock] = {}
    for lock in statement.locks:
        if effect_of(lock.mode) and lock.table is None:
            known = strongest.get(lock.relation)
            if known is None or strength_of(lock.mode) > strength_of(known.mode):
                strongest[lock.relation] = lock
    return sorted(strongest.values(), key=lambda lock: -strength_of(lock.mode))


def message_of(hazard: Hazard) -> str:
    """Return what a hazard says, with the versions of PostgreSQL that showed it where not all did."""
    alone = f" (PostgreSQL {enumerate_names(hazard.versions)} alone)" if hazard.versions else ""
    return f"{hazard.message}{alone}"


def outcome_of(revision: RevisionTrace) -> str:
    """Return in a few words what became of a revision."""
    codes = dict.fromkeys(hazard.code for hazard in revision.hazards)
    return ", ".join(("does not run" if revision.problem else revision.verdict, *codes))


def _hazard(hazard: Hazard, revision: RevisionTrace) -> Iterator[str]:
    line = f":{hazard.line}" if hazard.line else ""
    yield f"  {revision.path}{line}: {hazard.severity} {hazard.code} {hazard.rule} [{', '.join(hazard.hazards)}]"
    yield f"    {message_of(hazard)}"
    for proof in hazard.evidence:
        yield f"    old code, {proof}"
    for place, text in enumerate(hazard.help.splitlines()):
        yield f"    {'' if place == 0 else '    '}{text}"


def _end(trace: Trace) -> Iterator[str]:
    for check in trace.checks:
        yield f"{'ok    ' if check.passed else 'FAILED'}  {check.name}{': ' + check.message if check.message else ''}"
    yield from (f"note: {each}" for each in trace.notes)
    for version in trace.versions:
        outcomes = "; ".join(f"{each.revision} {outcome_of(each)}" for each in version.revisions)
        yield f"PostgreSQL {version.server}, {spell_seconds(version.duration_seconds)}: {outcomes}."
    hazards = sum(len(each.hazards) for each in trace.revisions)
    failed = sum(bool(each.problem) for each in trace.revisions)
    parts = [count(len(trace.revisions), "revision"), count(hazards, "hazard")]
    if failed:
        parts.append(f"{failed} failed")
    yield f"{', '.join(parts)}; PostgreSQL {trace.server}, {spell_seconds(trace.duration_seconds)}."
