"""For code scanning: SARIF 2.1.0.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from sage_migrate import __version__
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.rule import all_rules


def as_sarif(violations: Sequence[Violation]) -> str:
    """Return one run with its rules and results."""
    rules = [
        {
            "id": rule.code,
            "name": rule.slug,
            "shortDescription": {"text": rule.condition},
            "fullDescription": {"text": f"{rule.effect} {rule.workaround}"},
            "defaultConfiguration": {"level": rule.severity},
            "properties": {"hazards": list(rule.hazards)},
        }
        for rule in all_rules()
    ]
    results = [
        {
            "ruleId": each.code,
            "level": each.severity,
            "message": {"text": f"{each.message}\n{each.help}".strip()},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(Path(each.path).as_posix())},
                        "region": {"startLine": each.line, "startColumn": each.column},
                    }
                }
            ],
        }
        for each in violations
    ]
    driver = {"name": "sage-migrate", "version": __version__, "rules": rules}
    return json.dumps(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}],
        }
    )
