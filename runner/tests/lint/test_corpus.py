"""The linter against the labelled revisions, and the labels against a real server."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from labelled_revisions import LabelledRevision, read_corpus
from measure import measure, violations
from observation import Observation, make_template, observe
from sage_migrate.scratch_server import ScratchServer

_WANTED = 0.97
_SHARES = 4


@pytest.fixture(scope="module")
def run(server: ScratchServer) -> Callable[[LabelledRevision], Observation]:
    """Offer to run a revision on a copy of the shop's database."""
    make_template(server)
    return lambda case: observe(server, case)


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


@pytest.mark.parametrize("share", range(_SHARES))
def test_labels_are_what_a_server_shows(run: Callable[[LabelledRevision], Observation], share: int) -> None:
    """Each revision, run with rows in the tables, shows the hazards of its label and no others."""
    cases = [case for position, case in enumerate(read_corpus()) if position % _SHARES == share]
    seen = [(case, run(case)) for case in cases]
    assert [
        f"{case.name}: label {sorted(case.hazards)}, server {sorted(shown.hazards)} {shown.error}"
        for case, shown in seen
        if shown.hazards != case.hazards or (shown.error and not case.hazards)
    ] == []
