"""The rules on application code against labelled applications, and the labels of sessions against a real server."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from drive import LAZY
from harness.postgres import Database
from labelled_modules import read_corpus
from measure_modules import measure

_WANTED = 0.97
_SHARES = 2


@pytest.mark.parametrize(("corpus", "size"), [("session_corpus", 80), ("route_corpus", 40)])
def test_corpus_is_large_and_much_of_it_safe(corpus: str, size: int) -> None:
    """So many applications, of which two in five or more are safe look-alikes; no name twice."""
    cases = list(read_corpus(corpus))
    assert len(cases) >= size
    assert sum(not case.codes for case in cases) >= 0.4 * len(cases)
    assert all(a != b for a, b in pairwise(sorted(case.name for case in cases)))


@pytest.mark.parametrize(("corpus", "family"), [("session_corpus", "SM3"), ("route_corpus", "SM4")])
def test_unsafe_modules_are_found_and_safe_ones_are_quiet(corpus: str, family: str) -> None:
    """Recall and precision of each rule, and of modules as a whole."""
    right, false, missed, wrong = measure(corpus, family)
    for code in right | false | missed:
        assert right[code] / (right[code] + missed[code]) >= _WANTED, wrong
        assert right[code] / (right[code] + false[code]) >= _WANTED, wrong


@pytest.mark.parametrize("share", range(_SHARES))
def test_labels_are_what_happens_over_asgi(database: Database, share: int) -> None:
    """Each application that can run here, driven on a real server, does what its label says, and nothing else."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "drive.py", database.url(driver="psycopg"), f"{share}/{_SHARES}"],
        # TLS is not what is tested, and its preparation would be most of the work.
        env={**os.environ, "PYTHONPATH": str(here), "PGSSLMODE": "disable"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = {name: set(found) for name, found in json.loads(done.stdout).items()}
    expected = {
        case.name: {LAZY if code in ("SM304", "SM305") else code for code in case.codes}
        for case in read_corpus("session_corpus")
        if case.name in seen
    }
    assert len(seen) >= 50
    assert seen == expected
