"""Findings as text, JSON, GitHub annotations or SARIF."""

from collections.abc import Callable, Sequence

from sage_migrate.lint.findings import Violation
from sage_migrate.lint.output.github import as_github
from sage_migrate.lint.output.json import as_json
from sage_migrate.lint.output.sarif import as_sarif
from sage_migrate.lint.output.text import as_text

FORMATS: dict[str, Callable[[Sequence[Violation]], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
}
