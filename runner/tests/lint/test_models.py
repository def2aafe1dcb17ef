"""The rules on models against the labelled corpus, and the labels against SQLAlchemy itself."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from labelled_models import LabelledModels, read_models
from labelled_modules import write_files
from model_observation import FACTS, observe
from sage_migrate.lint.check import check_module
from sage_migrate.lint.project import Project
from sage_migrate.lint.project.files import find_files

_WANTED = 0.97
CASES = list(read_models())


def test_corpus_is_large_and_half_of_it_safe() -> None:
    """At least 60 projects, of which nearly half or more are safe look-alikes; no name twice."""
    assert len(CASES) >= 60
    assert sum(not case.codes for case in CASES) >= 0.45 * len(CASES)
    names = sorted(case.name for case in CASES)
    assert all(a != b for a, b in pairwise(names))


def test_what_no_observer_sees_has_a_proof() -> None:
    """A label that does not show in a mapper or a table is shown by a program of its own."""
    assert [case.name for case in CASES if not case.codes <= set(FACTS) and not case.proof] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_labels_are_what_sqlalchemy_does(case: LabelledModels, tmp_path: Path) -> None:
    """Imported, each project shows the facts of its label and no others, and its proof ends well."""
    write_files(case.files, tmp_path)
    shown, refusal = observe(case, tmp_path)
    labelled = {FACTS[code] for code in case.codes if code in FACTS}
    # What 2.0 refuses to import shows nothing else.
    assert shown == (labelled & {"reserved name"} if refusal else labelled), refusal


def test_source_tells_what_is_wrong(tmp_path: Path) -> None:
    """Recall and precision of the pass over the source, over all codes, and no error in what is safe."""
    right, false, missed = Counter[str](), Counter[str](), Counter[str]()
    for case in CASES:
        write_files(case.files, tmp_path / case.name)
        project = Project(find_files([tmp_path / case.name]), [tmp_path / case.name])
        violations = [each for module in project.modules for each in check_module(module, project)]
        found = {each.code for each in violations if each.code.startswith("SM2")}
        right.update(found & case.codes)
        false.update(found - case.codes)
        missed.update(case.codes - found)
        assert case.codes or not [each for each in violations if each.severity == "error"], case.name
    assert right.total() / (right.total() + missed.total()) >= _WANTED, missed
    assert right.total() / (right.total() + false.total()) >= _WANTED, false
