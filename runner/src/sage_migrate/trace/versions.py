"""A trace on each of several servers, and what they say together: a finding on any of them counts."""

import multiprocessing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from sage_migrate.database_url import DatabaseURL
from sage_migrate.settings import Settings
from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.words import enumerate_names
from sage_migrate.trace.flow import trace
from sage_migrate.trace.options import Options
from sage_migrate.trace.output.text import telling_locks
from sage_migrate.trace.results import Breakage, Check, Hazard, RevisionTrace, Statement, Trace

Found = TypeVar("Found", Hazard, Breakage)


def trace_each(settings: Settings, options: Options) -> Trace:
    """Return what the pending revisions do on the servers that the options name.

    Raises:
        UsageError: as of `trace`.
    """
    if len(options.servers) == 1:
        return trace(settings, options, options.servers[0])
    return combine([_trace_apart(settings, options, each) for each in options.servers])


def _trace_apart(settings: Settings, options: Options, server: DatabaseURL | Path | None) -> Trace:
    """Trace in a process of its own: an application's engine, once made, stays with the server that it was made for."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:
        return apart.submit(trace, settings, options, server).result()


def combine(traces: Sequence[Trace]) -> Trace:
    """Return several traces of the same revisions as one; its statements are those of the first."""
    first = traces[0]
    if not first.revisions:
        return first
    named = dict(zip(_names(traces), traces, strict=True))
    revisions = dict.fromkeys(each.revision for one in traces for each in one.revisions)
    checks = dict.fromkeys(each.name for one in traces for each in one.checks)
    return replace(
        first,
        server=enumerate_names(list(named), most=len(named)),
        duration_seconds=sum(each.duration_seconds for each in traces),
        revisions=tuple(_revision(each, named) for each in revisions),
        checks=tuple(_check(each, named) for each in checks),
        notes=tuple(_told({name: one.notes for name, one in named.items()})),
        versions=tuple(replace(one, server=name) for name, one in named.items()),
    )


def _names(traces: Sequence[Trace]) -> Iterator[str]:
    servers = [each.server for each in traces]
    for place, server in enumerate(servers):
        nth = servers[: place + 1].count(server)
        yield f"{server} ({nth})" if nth > 1 else server


def _revision(revision: str, named: Mapping[str, Trace]) -> RevisionTrace:
    each = {name: found for name, one in named.items() for found in one.revisions if found.revision == revision}
    first = next(iter(each.values()))
    problems = {name: (one.problem,) if one.problem else () for name, one in each.items()}
    notes = {name: (*one.notes, *_differences(first, one)) for name, one in each.items()}
    return replace(
        first,
        problem=" ".join(_told(problems)),
        notes=tuple(_told(notes)),
        hazards=_united({name: one.hazards for name, one in each.items()}, _hazard_key),
        old_code_breaks=_united({name: one.old_code_breaks for name, one in each.items()}, _breakage_key),
        new_code_breaks=_united({name: one.new_code_breaks for name, one in each.items()}, _breakage_key),
    )


def _hazard_key(hazard: Hazard) -> Hashable:
    return hazard.code, hazard.hazards, hazard.relation, hazard.line


def _breakage_key(breakage: Breakage) -> Hashable:
    return breakage.sql


def _united(found: Mapping[str, Sequence[Found]], key: Callable[[Found], Hashable]) -> tuple[Found, ...]:
    """Return what any version found, each with the versions that found it where these are not all."""
    first: dict[Hashable, Found] = {}
    seen: dict[Hashable, dict[str, None]] = {}
    for name, each in found.items():
        for one in each:
            first.setdefault(key(one), one)
            seen.setdefault(key(one), {})[name] = None
    return tuple(
        one if len(seen[known]) == len(found) else replace(one, versions=tuple(seen[known]))
        for known, one in first.items()
    )


def _told(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield sentences, each with the versions that it is true of where these are not all."""
    for text in dict.fromkeys(each for texts in found.values() for each in texts):
        names = [name for name, texts in found.items() if text in texts]
        yield text if len(names) == len(found) else f"PostgreSQL {enumerate_names(names, most=len(names))}: {text}"


def _check(name: str, named: Mapping[str, Trace]) -> Check:
    each = {version: check for version, one in named.items() for check in one.checks if check.name == name}
    messages = {version: (check.message,) if check.message else () for version, check in each.items()}
    return Check(name=name, passed=all(check.passed for check in each.values()), message=" ".join(_told(messages)))


def _differences(first: RevisionTrace, other: RevisionTrace) -> Iterator[str]:
    """Yield what a version did at the same statement and the first one did not, or the other way."""
    for number, (one, two) in enumerate(zip(first.statements, other.statements, strict=False), 1):
        if one.sql != two.sql:
            return
        was, is_ = _facts(one), _facts(two)
        more, less = sorted(is_ - was), sorted(was - is_)
        if more or less:
            parts = [*more, *(f"not {each}" for each in less)]
            yield f"Statement {number} differs: {'; '.join(parts)}."


def _facts(statement: Statement) -> set[str]:
    return {
        *(f"{spell_mode(lock.mode)} on {lock.relation}" for lock in telling_locks(statement)),
        *(f"writes {name} anew" for name in (*statement.rewrites, *statement.index_rewrites)),
        *(f"reads all of {name}" for name in statement.scans),
    }
