"""What a revision's own file may tell the gate, as one literal: ``sage_migrate = {"phase": "contract", …}``."""

import re
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from types import ModuleType

from sage_migrate.durations import parse_duration
from sage_migrate.errors import HistoryBrokenError

NAME = "sage_migrate"
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_PHASES = ("expand", "contract")


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """Rows to be set in batches before the revision runs; ``set``, ``where`` and ``table`` are SQL."""

    table: str
    set: str
    where: str
    """Which rows are left: `set` has to make it untrue."""
    key: tuple[str, ...] = ()
    """The columns that order the batches; the primary key's unless given."""
    max_replica_lag: float | None = None
    """In seconds: no batch is begun while a replica is further behind."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A revision's declaration. ``stall_budget`` is in seconds, None where the run's own holds.

    In its ``maintenance_window`` (a time of day in UTC) a revision without a budget of its own has none;
    outside of it the revision is refused.
    """

    phase: str = "expand"
    stall_budget: float | None = None
    maintenance_window: tuple[time, time] | None = None
    reason: str = ""
    backfill: Backfill | None = None
    online: bool = False
    """Whether the code of its release does without it, so that a release without the time for it may leave it."""

    def is_open(self, now: time) -> bool:
        """Tell whether ``now`` (UTC) is in the window; a window may go past midnight."""
        if self.maintenance_window is None:
            return True
        begin, end = self.maintenance_window
        return begin <= now < end if begin <= end else now >= begin or now < end

    @property
    def window_text(self) -> str:
        """The window as it was written."""
        return "-".join(each.strftime("%H:%M") for each in self.maintenance_window or ())

    def budget(self, default: float) -> float:
        """Return the stall budget that holds while the revision is applied."""
        if self.stall_budget is not None:
            return self.stall_budget
        return default if self.maintenance_window is None else float("inf")


_NONE = Declaration()


def declaration_of(module: ModuleType, path: str) -> Declaration:
    """Return the declaration in ``module``, or the default one.

    Raises:
        HistoryBrokenError: a key or a value that the gate does not know: better refused than ignored.
    """
    declared = getattr(module, NAME, None)
    if declared is None:
        return _NONE
    if not isinstance(declared, dict):
        raise _unusable(path, "it is not a dict")
    unknown = sorted(set(declared) - set(Declaration.__dataclass_fields__))
    if unknown:
        raise _unusable(path, f"it has no setting {', '.join(map(str, unknown))}")
    phase = declared.get("phase", "expand")
    if phase not in _PHASES:
        raise _unusable(path, f"phase '{phase}' is neither expand nor contract")
    budget = declared.get("stall_budget")
    online = declared.get("online", False)
    if not isinstance(online, bool):
        raise _unusable(path, f"online '{online}' is neither True nor False")
    reason = str(declared.get("reason", "")).strip()
    window = declared.get("maintenance_window")
    if not reason and (budget is not None or window is not None):
        raise _unusable(path, "a stall_budget or a maintenance_window of its own needs a reason")
    span = None if window is None else _WINDOW.fullmatch(str(window))
    if window is not None and span is None:
        raise _unusable(path, f"maintenance_window '{window}' is not a span in UTC such as 02:00-04:00")
    try:
        seconds = None if budget is None else parse_duration(str(budget))
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    return Declaration(
        phase=phase,
        stall_budget=seconds,
        maintenance_window=(_time(span[1], span[2]), _time(span[3], span[4])) if span else None,
        reason=reason,
        backfill=_backfill(declared["backfill"], path) if "backfill" in declared else None,
        online=online,
    )


def _backfill(declared: object, path: str) -> Backfill:
    texts = ("table", "set", "where")
    if not isinstance(declared, dict) or not set(texts) <= set(declared) <= set(Backfill.__dataclass_fields__):
        raise _unusable(
            path, "backfill is a dict with table, set and where, and where needed with key and max_replica_lag"
        )
    for name in texts:
        if not isinstance(declared[name], str) or not declared[name].strip():
            raise _unusable(path, f"backfill's {name} is no SQL")
    key = declared.get("key", ())
    if isinstance(key, str) or not all(isinstance(name, str) for name in key):
        raise _unusable(path, "backfill's key is a list of columns")
    lag = declared.get("max_replica_lag")
    try:
        seconds = None if lag is None else parse_duration(str(lag))
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    return Backfill(**{name: declared[name].strip() for name in texts}, key=tuple(key), max_replica_lag=seconds)


def _time(hour: str, minute: str) -> time:
    return time(int(hour), int(minute))


def _unusable(path: str, why: str) -> HistoryBrokenError:
    return HistoryBrokenError(
        f"The declaration `{NAME} = …` in {Path(path).name} cannot be used: {why}.",
        remedy=f"Known keys: {', '.join(Declaration.__dataclass_fields__)}.",
    )
