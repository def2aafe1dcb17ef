"""How long lint takes: ``python -m bench.lint``.

A history of 1,000 revisions, made of this repository's labelled ones, and its labelled applications as one project: all of
each, and one file as pre-commit names it. Each run is a process of its own, on one core, in seconds of the processor; beside
it what Python itself takes to start and parse the same files, by turns in one run. The quickest of several counts, after
one in which Python compiles what it imports, as an installer does. The exit status is 1 beyond a bound.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "runner/tests/lint"))

from labelled_modules import read_corpus as read_applications
from labelled_revisions import read_corpus

_REVISIONS = 1000
_RUNS = 5
_BOUND_ALL_SECONDS = 3.0
_BOUND_ONE_SECONDS = 0.3
_PARSE = "import ast, pathlib, sys; [ast.parse(pathlib.Path(name).read_bytes()) for name in sys.argv[1:]]"


def main() -> int:
    """Report the figures; return 1 when one is beyond its bound."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "versions").mkdir()
        revisions = [str(path.relative_to(directory)) for path in _write_revisions(directory / "versions")]
        modules = [str(path.relative_to(directory)) for path in _write_applications(directory / "applications")]
        last = [name for name in modules if name.endswith("main.py")][-1]
        cases = {
            "1,000 revisions": (["versions"], revisions, _BOUND_ALL_SECONDS),
            "one of them": (revisions[-1:], revisions[-1:], _BOUND_ONE_SECONDS),
            f"{len(modules):,} modules": (["applications"], modules, None),
            "one of them, with what it imports": ([last], [last], _BOUND_ONE_SECONDS),
        }
        print("| files | lint | Python parses them | ratio | bound |\n|---|---|---|---|---|")
        status = 0
        for case, (arguments, parsed, bound) in cases.items():
            _seconds(directory, "-m", "sage_migrate", "lint", *arguments)
            pairs = [
                (
                    _seconds(directory, "-m", "sage_migrate", "lint", *arguments),
                    _seconds(directory, "-c", _PARSE, *parsed),
                )
                for _ in range(_RUNS)
            ]
            lint, parse = map(min, zip(*pairs, strict=True))
            shown = f"{bound:.1f} s" if bound else ""
            print(f"| {case} | {lint:.2f} s | {parse:.2f} s | {lint / parse:.1f} | {shown} |", flush=True)
            status |= bound is not None and lint > bound
        return int(status)


def _write_revisions(directory: Path) -> Iterator[Path]:
    """Write one history: the corpus's revisions over and over, each under a name of its own."""
    sources = [case.source for case in read_corpus()]
    before = "None"
    for number in range(_REVISIONS):
        path = directory / f"r{number:04}.py"
        source = re.sub(r"(?m)^revision = .*", f'revision = "r{number:04}"', sources[number % len(sources)])
        path.write_text(re.sub(r"(?m)^down_revision = .*", f"down_revision = {before}", source))
        before = f'"r{number:04}"'
        yield path


def _write_applications(directory: Path) -> Iterator[Path]:
    """Write the corpora's applications, each into a directory of its own; yield its modules."""
    for case in (*read_applications("session_corpus"), *read_applications("route_corpus")):
        case.write(directory / case.name)
        yield from sorted((directory / case.name).rglob("*.py"))


def _seconds(directory: Path, *arguments: str) -> float:
    """Return the processor's seconds of a run."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory / "compiled")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, **compiled},
        stdout=subprocess.DEVNULL,
        check=False,
        preexec_fn=_one_core,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    sys.exit(main())
