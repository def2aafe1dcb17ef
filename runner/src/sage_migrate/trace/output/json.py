"""For programs: one object."""

import json
from dataclasses import asdict
from typing import Any

from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.trace.results import RevisionTrace, Statement, Trace


def as_json(trace: Trace) -> str:
    """Return everything that was seen."""
    shown = _trace(trace) | {"versions": [_trace(each) for each in trace.versions]}
    return json.dumps(shown, ensure_ascii=False)


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "revisions": [_revision(each) for each in trace.revisions],
        "base": list(trace.base),
        "head": list(trace.head),
        "server_version": trace.server,
        "old_code": trace.old_code,
        "checks": [asdict(each) for each in trace.checks],
        "notes": list(trace.notes),
        "duration_seconds": round(trace.duration_seconds, 3),
    }


def _revision(revision: RevisionTrace) -> dict[str, Any]:
    return {
        "revision": revision.revision,
        "path": revision.path,
        "description": revision.description,
        "declared_phase": revision.declared,
        "verdict": revision.verdict,
        "compatible_with_old_code": revision.compatible_with_old_code,
        "duration_seconds": round(revision.duration_seconds, 4),
        "problem": revision.problem,
        "notes": list(revision.notes),
        "statements": [_statement(each) for each in revision.statements],
        "hazards": [asdict(each) for each in revision.hazards],
        "old_code_breaks": [asdict(each) for each in revision.old_code_breaks],
        "new_code_breaks": [asdict(each) for each in revision.new_code_breaks],
    }


def _statement(statement: Statement) -> dict[str, Any]:
    shown = asdict(statement)
    shown["started_seconds"] = round(statement.started_seconds, 4)
    shown["duration_seconds"] = round(statement.duration_seconds, 4)
    shown["locks"] = [
        {
            "relation": lock.relation,
            "mode": spell_mode(lock.mode),
            "taken_seconds": round(lock.taken_seconds, 4),
            "held_seconds": round(lock.held_seconds, 4),
        }
        for lock in statement.locks
    ]
    return shown
