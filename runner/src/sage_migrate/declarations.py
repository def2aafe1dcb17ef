"""What a revision's own file may tell the gate, as one literal: ``sage_migrate = {"phase": "contract", …}``."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sage_migrate.durations import parse_duration
from sage_migrate.errors import HistoryBrokenError

NAME = "sage_migrate"
_PHASES = ("expand", "contract")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A revision's declaration. ``stall_budget`` is in seconds, None where the run's own holds."""

    phase: str = "expand"
    stall_budget: float | None = None
    reason: str = ""


def declaration_of(module: ModuleType, path: Path) -> Declaration:
    """Return the declaration in ``module``, or the default one.

    Raises:
        HistoryBrokenError: a key or a value that the gate does not know: better refused than ignored.
    """
    declared = getattr(module, NAME, None)
    if declared is None:
        return Declaration()
    if not isinstance(declared, dict):
        raise _unusable(path, "it is not a dict")
    unknown = sorted(set(declared) - set(Declaration.__dataclass_fields__))
    if unknown:
        raise _unusable(path, f"it has no setting {', '.join(map(str, unknown))}")
    phase = declared.get("phase", "expand")
    if phase not in _PHASES:
        raise _unusable(path, f"phase '{phase}' is neither expand nor contract")
    budget = declared.get("stall_budget")
    reason = str(declared.get("reason", "")).strip()
    if budget is not None and not reason:
        raise _unusable(path, "a stall_budget of its own needs a reason")
    try:
        seconds = None if budget is None else parse_duration(str(budget))
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    return Declaration(phase=phase, stall_budget=seconds, reason=reason)


def _unusable(path: Path, why: str) -> HistoryBrokenError:
    return HistoryBrokenError(
        f"The declaration `{NAME} = …` in {path.name} cannot be used: {why}.",
        remedy=f"Known keys: {', '.join(Declaration.__dataclass_fields__)}.",
    )
