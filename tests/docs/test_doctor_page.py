"""docs/doctor.md beside the checks that there are."""

from pathlib import Path

from sage_migrate.doctor.check import all_checks

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
# Found on the way to the checks, by no module of their own.
_ON_THE_WAY = {"history-broken", "env-fails"}


def test_every_check_is_on_the_page() -> None:
    """The table names all of them, and no other."""
    lines = [line.split("|")[1].strip(" `") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert set(lines) == {check.name for check in all_checks()} | _ON_THE_WAY
