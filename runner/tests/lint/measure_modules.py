"""Recall and precision of the rules on application code, for each rule and for modules as a whole."""
# ruff: noqa: T201  prints a table

import tempfile
from collections import Counter
from pathlib import Path

from labelled_modules import LabelledModule, read_corpus
from sage_migrate.lint.check import check_module
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.project import Project
from sage_migrate.lint.project.files import find_files


def violations(case: LabelledModule, directory: Path, family: str) -> list[Violation]:
    """Lint one application of the corpus."""
    case.write(directory)
    project = Project(find_files([directory]), [directory])
    return [
        violation
        for module in project.modules
        for violation in check_module(module, project)
        if violation.code.startswith(family) and violation.severity != "note"
    ]


def measure(corpus: str, family: str) -> tuple[Counter[str], Counter[str], Counter[str], list[str]]:
    """Return true, false and missed alarms by code ("module": flagged at all), and what went wrong."""
    right, false, missed = Counter[str](), Counter[str](), Counter[str]()
    wrong: list[str] = []
    for case in read_corpus(corpus):
        with tempfile.TemporaryDirectory(prefix="corpus") as directory:
            found = {each.code for each in violations(case, Path(directory) / "project", family)}
        right.update(found & case.codes)
        false.update(found - case.codes)
        missed.update(case.codes - found)
        counted = right if found and case.codes else false if found else missed if case.codes else None
        if counted is not None:
            counted["module"] += 1
        if found != case.codes:
            wrong.append(f"{case.name}: false {sorted(found - case.codes)}, missed {sorted(case.codes - found)}")
    return right, false, missed, wrong


def main() -> None:
    """Print the tables."""
    for corpus, family in (("session_corpus", "SM3"), ("route_corpus", "SM4")):
        right, false, missed, wrong = measure(corpus, family)
        print(f"\n{corpus}\n{'code':10} recall precision")
        for code in sorted(right | false | missed):
            hits = right[code]
            print(f"{code:10} {hits / ((hits + missed[code]) or 1):6.3f} {hits / ((hits + false[code]) or 1):9.3f}")
        print("\n".join(wrong))


if __name__ == "__main__":
    main()
