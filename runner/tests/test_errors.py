"""The tree of errors: each exit status unique, documented, and said in one place."""

import re
from pathlib import Path

from sage_migrate import errors

# design's table, which users and charts rely on; 0, 1 and 3 belong to no failure of a run.
DOCUMENTED = {2, 10, 11, 12, 13, 14, 20, 21, 22, 23, 30, 31, 32, 33, 34, 40, 41, 42, 43, 50, 130, 143}


def _classes() -> list[type[errors.GateError]]:
    found, queue = [], [errors.GateError]
    while queue:
        each = queue.pop()
        found += each.__subclasses__()
        queue += each.__subclasses__()
    return [each for each in found if each.__module__ == errors.__name__]


def test_each_class_has_a_status_of_its_own() -> None:
    """No status is used twice, and none is missing."""
    statuses = [each.exit_status for each in _classes()]
    assert len(statuses) == len(set(statuses))
    assert set(statuses) == DOCUMENTED


def test_each_class_says_what_it_stands_for() -> None:
    """Its summary is its own, for the documents and the pod's termination message."""
    summaries = [each.summary for each in _classes()]
    assert len(summaries) == len(set(summaries))
    assert all("summary" in vars(each) for each in _classes())


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    """Who opens errors.py reads what the classes say."""
    written = re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or "")
    assert {(name, int(status)) for name, status in written} == {
        (each.__name__, each.exit_status) for each in _classes()
    }


def test_each_class_is_on_the_page_of_exit_statuses() -> None:
    """The generated page has a row for each."""
    page = Path(__file__).parents[2] / "docs" / "exit-codes.md"
    rows = set(map(int, re.findall(r"^\| (\d+) \|", page.read_text(), re.MULTILINE)))
    assert rows >= DOCUMENTED | {0, 1, 3}
