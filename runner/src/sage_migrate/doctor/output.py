"""The diagnosis for people and for programs."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from textwrap import indent

from sage_migrate.doctor.findings import Diagnosis, Finding


def as_text(diagnosis: Diagnosis) -> str:
    """Return each finding with its fix, what was not checked, and a sum at the end."""
    parts = [_one(finding) for finding in diagnosis.findings]
    reasons: dict[str, list[str]] = {}
    for each in diagnosis.not_checked:
        reasons.setdefault(each.reason, []).append(each.check)
    parts += [f"not checked: {', '.join(names)}\n  {why[:1].upper()}{why[1:]}." for why, names in reasons.items()]
    counted = Counter(each.severity for each in diagnosis.findings)
    total = ", ".join(
        f"{count} {severity}{'s' if count > 1 else ''}"
        for severity in ("error", "warning", "note")
        if (count := counted[severity])
    )
    return "\n\n".join([*parts, f"{total or 'Nothing found'}."])


def as_json(diagnosis: Diagnosis) -> str:
    """Return one object."""
    return json.dumps(asdict(diagnosis), ensure_ascii=False)


FORMATS: Mapping[str, Callable[[Diagnosis], str]] = {"text": as_text, "json": as_json}


def _one(finding: Finding) -> str:
    where = f"{finding.path}:{finding.line or 1}: " if finding.path else ""
    return "\n".join(
        [
            f"{where}{finding.severity} {finding.check}",
            indent(finding.message, "  "),
            indent(f"Fix:{chr(10) if chr(10) in finding.fix else ' '}{finding.fix}", "  "),
        ]
    )
