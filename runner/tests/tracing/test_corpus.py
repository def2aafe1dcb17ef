"""The trace against the labelled revisions, and against the linter on the same ones."""

import pytest
from labelled_revisions import LabelledRevision, read_corpus
from measure import violations
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.trace.results import RevisionTrace

from tracing.corpus_traces import Corpus

_SHARES = 4
# Where a trace shows other hazards than the label says, and why it is right.
_NOT_AS_LABELLED = {
    "schema_drop": "it takes Alembic's version table with it, so that it does not run",
}


@pytest.fixture(scope="module")
def corpus(server: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Make the shop's database once."""
    return Corpus(server, tmp_path_factory.mktemp("corpus"))


def _hazards(traced: RevisionTrace) -> set[str]:
    return {hazard for each in traced.hazards if each.severity == "error" for hazard in each.hazards}


@pytest.mark.parametrize("share", range(_SHARES))
def test_labels_are_what_a_trace_shows(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    """A revision that ran shows the hazards of its label and no others, under the codes that lint gives it."""
    wrong, differing = [], []
    for position, case in enumerate(read_corpus()):
        if position % _SHARES != share:
            continue
        with monkeypatch.context() as environment:
            for name in ("DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
                environment.setenv(name, "")  # so that what the trace sets is taken back
            traced = corpus.trace(case)
        found = _hazards(traced)
        if found != case.hazards and case.name not in _NOT_AS_LABELLED:
            wrong.append(f"{case.name}: label {sorted(case.hazards)}, trace {sorted(found)} {traced.problem}")
        differing += _difference(case, traced)
    assert wrong == []
    assert differing == []


def _difference(case: LabelledRevision, traced: RevisionTrace) -> list[str]:
    """Return in words which codes lint and trace do not both give."""
    linted = {each.code for each in violations(case, with_history=True) if each.severity == "error" and each.hazards}
    shown = {each.code for each in traced.hazards if each.severity == "error"}
    if linted == shown:
        return []
    return [f"{case.name}: lint alone {sorted(linted - shown)}, trace alone {sorted(shown - linted)}"]
