"""What docs/other-linters.md says of the checks of others is what lint does."""

import re
from pathlib import Path

import pytest
from labelled_revisions import LabelledRevision, revision_of
from measure import violations

_PAGE = Path(__file__).parents[3] / "docs/other-linters.md"
_STYLE = ("missing-downgrade",)
_ROWS = [
    (re.findall("`([^`]*)`", cells[1])[0], set(re.findall(r"SM\d+", cells[6])))
    for line in _PAGE.read_text().splitlines()
    if line.startswith("| `") and (cells := line.split("|"))
]


def test_page_has_its_rows() -> None:
    """The table is read, and most of it is what lint finds."""
    assert len(_ROWS) >= 60
    assert sum(bool(codes) for _, codes in _ROWS) >= 45


@pytest.mark.parametrize(("statements", "codes"), _ROWS, ids=[statements for statements, _ in _ROWS])
def test_statement_gives_what_the_page_says(statements: str, codes: set[str]) -> None:
    """Exactly the codes of the last column, of whatever severity; none where it says so."""
    body = "".join(f"op.execute({each.strip()!r})\n" for each in statements.split(";"))
    case = LabelledRevision(name="example", hazards=frozenset(), source=revision_of("example", body))
    found = {each.code for each in violations(case, with_history=True) if each.rule not in _STYLE}
    assert found == codes
