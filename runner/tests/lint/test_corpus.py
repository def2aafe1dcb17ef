"""The linter against the labelled revisions; runner/tests/tracing holds the labels against a real server."""

from itertools import pairwise

import pytest
from labelled_revisions import read_corpus
from measure import measure, violations

_WANTED = 0.97


def test_corpus_is_large_and_half_of_it_safe() -> None:
    """At least 150 revisions, of which two in five or more are safe look-alikes; no name twice."""
    cases = list(read_corpus())
    assert len(cases) >= 150
    assert sum(not case.hazards for case in cases) >= 0.4 * len(cases)
    names = sorted(case.name for case in cases)
    assert all(a != b for a, b in pairwise(names))


@pytest.mark.parametrize("with_history", [True, False])
def test_hazards_are_found_and_safe_revisions_are_quiet(with_history: bool) -> None:  # noqa: FBT001
    """Recall and precision over all hazards, with the schema's history and with nothing but the revision."""
    right, false, missed, wrong = measure(with_history=with_history)
    assert right.total() / (right.total() + missed.total()) >= _WANTED, wrong
    assert right.total() / (right.total() + false.total()) >= _WANTED, wrong


def test_safe_revisions_have_no_error() -> None:
    """Also none without a hazard: what is safe gets advice at most."""
    loud = [
        case.name
        for case in read_corpus()
        if not case.hazards and any(v.severity == "error" for v in violations(case, with_history=True))
    ]
    assert loud == []
