"""For GitHub Actions: workflow commands that become annotations.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from collections.abc import Sequence

from sage_migrate.lint.findings import Violation

_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}


def as_github(violations: Sequence[Violation]) -> str:
    """Return one command for each."""
    return "\n".join(
        f"::{_LEVELS[each.severity]} file={_property(each.path)},line={each.line},col={each.column},title={_property(f'{each.code} {each.rule}')}"  # noqa: E501
        f"::{_data(each.message + chr(10) + each.help)}"
        for each in violations
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
