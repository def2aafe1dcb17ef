"""A file of the findings that a project had when it began to lint: they are not told again, wherever they move."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.source_statement import statement_at

_FORMAT = 1
_Key = tuple[str, str, str]
"""Path, code, and a hash of the statement: neither lines nor messages, which change while the code stays."""


def write_baseline(path: Path, violations: Iterable[Violation]) -> None:
    """Write all of them, so that the same ones make the same file.

    Raises:
        UsageError: the file cannot be written.
    """
    known: dict[str, dict[str, list[str]]] = {}
    for file, code, statement in sorted(map(_key, violations)):
        known.setdefault(file, {}).setdefault(code, []).append(statement)
    try:
        path.write_text(json.dumps({"format": _FORMAT, "violations": known}, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"The baseline {path} cannot be written: {error.strerror}.") from error


def read_baseline(path: Path) -> Counter[_Key]:
    """Return how often each is known.

    Raises:
        UsageError: the file cannot be read, or is no baseline.
    """
    again = f"Make it with sage-migrate lint --baseline {path} --write-baseline."
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise UsageError(
                f"The baseline {path} has format {content['format']}; this sage-migrate reads format {_FORMAT}.",
                remedy=again,
            )
        return Counter(
            (str(file), str(code), str(statement))
            for file, codes in content["violations"].items()
            for code, statements in codes.items()
            for statement in statements
        )
    except OSError as error:
        raise UsageError(f"The baseline {path} cannot be read: {error.strerror}.", remedy=again) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no baseline.", remedy=again) from error


def leave_out_known(violations: Iterable[Violation], known: Counter[_Key]) -> Iterator[Violation]:
    """Yield those that are not known; of several that look the same, the first are the known ones."""
    left = known.copy()
    for violation in violations:
        key = _key(violation)
        if left[key] > 0:
            left[key] -= 1
        else:
            yield violation


def _key(violation: Violation) -> _Key:
    text = statement_at(violation.path, violation.line).text
    return violation.path, violation.code, hashlib.sha256(text.encode()).hexdigest()[:16]
