"""Recall and precision on the corpus, for each hazard and for revisions as a whole."""
# ruff: noqa: T201  prints a table

import ast
from collections import Counter
from pathlib import Path

from labelled_revisions import CORPUS, LabelledRevision, read_corpus
from sage_migrate.lint.check import check_revision
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.revisions import Revision
from sage_migrate.lint.schema import Schema
from sage_migrate.lint.sql import parse


def history() -> Schema:
    """Return what earlier revisions would have told of the corpus's schema."""
    schema = Schema()
    for parsed in parse((CORPUS / "schema.sql").read_text()):
        for action in parsed.actions:
            schema.apply(action)
    return schema


def violations(case: LabelledRevision, *, with_history: bool) -> list[Violation]:
    """Lint one revision of the corpus."""
    revision = Revision(
        path=Path("versions") / f"{case.name}.py",
        source=case.source,
        tree=ast.parse(case.source),
        identifier=case.name,
        parents=("base",),
        declared={},
    )
    return list(check_revision(revision, history() if with_history else Schema(), set()))


def measure(*, with_history: bool) -> tuple[Counter[str], Counter[str], Counter[str], list[str]]:
    """Return true, false and missed alarms by hazard ("revision": flagged at all), and what went wrong."""
    right, false, missed = Counter[str](), Counter[str](), Counter[str]()
    wrong: list[str] = []
    for case in read_corpus():
        found = {
            hazard
            for each in violations(case, with_history=with_history)
            if each.severity == "error"
            for hazard in each.hazards
        }
        right.update(found & case.hazards)
        false.update(found - case.hazards)
        missed.update(case.hazards - found)
        if found and case.hazards:
            right["revision"] += 1
        elif found:
            false["revision"] += 1
        elif case.hazards:
            missed["revision"] += 1
        if found != case.hazards:
            wrong.append(f"{case.name}: false {sorted(found - case.hazards)}, missed {sorted(case.hazards - found)}")
    return right, false, missed, wrong


def main() -> None:
    """Print the table."""
    for with_history in (True, False):
        right, false, missed, wrong = measure(with_history=with_history)
        print(f"\n{'with' if with_history else 'without'} the history\n{'hazard':30} recall precision")
        for hazard in sorted(right | false | missed):
            hits = right[hazard]
            print(
                f"{hazard:30} {hits / ((hits + missed[hazard]) or 1):6.3f} {hits / ((hits + false[hazard]) or 1):9.3f}"
            )
        print("\n".join(wrong))


if __name__ == "__main__":
    main()
