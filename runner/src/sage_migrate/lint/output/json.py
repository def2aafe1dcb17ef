"""For programs: one object with all violations."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from sage_migrate.lint.findings import Violation


def as_json(violations: Sequence[Violation]) -> str:
    """Return all of them, also notes."""
    return json.dumps({"violations": [asdict(each) for each in violations]}, ensure_ascii=False)
