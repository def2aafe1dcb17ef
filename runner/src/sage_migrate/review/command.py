"""The command `sage-migrate review`: stub writes reviews, check judges them, export lists what was reviewed."""

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sage_migrate.errors import UsageError
from sage_migrate.review.changes import Changes, find_changes, holds_reviews
from sage_migrate.review.check import Judgement, judge, shown
from sage_migrate.review.revisions import ReviewedRevision, read_all
from sage_migrate.review.settings import ReviewSettings, read_review_settings
from sage_migrate.reviewed import MANIFEST

FORMATS = ("text", "json", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three commands and their arguments."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION", help="stub, check or export")
    stub = commands.add_parser("stub", help="write or refresh the reviews of new and changed revisions")
    check = commands.add_parser("check", help="fail where a new or changed revision is not reviewed")
    export = commands.add_parser("export", help=f"write {MANIFEST}, the list for upgrade --require-review")
    stub.add_argument(
        "--doc", metavar="FILE", help="the cycle doc to write to (default: the branch's own, or a new one)"
    )
    stub.add_argument("--trace", metavar="FILE", help="what sage-migrate trace --format json measured")
    export.add_argument(
        "--output", metavar="FILE", help=f"where to write (default: {MANIFEST} in the migration directory)"
    )
    export.add_argument("--partial", action="store_true", help="leave out what is not reviewed instead of failing")
    check.add_argument(
        "--draft",
        action="store_true",
        help="for a commit hook: what only people can heal is advice, untracked files do not count",
    )
    check.add_argument("--format", choices=FORMATS, default="text")
    for command in (stub, check):
        command.add_argument("--base", metavar="REF", help="what the branch is compared with (default: origin/main)")
        command.add_argument(
            "--all", action="store_true", help="every revision after the baseline, not only what the branch changes"
        )
    export.set_defaults(base=None)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; 0 all is reviewed, 1 something is not.

    Raises:
        UsageError: the project, the base or a setting is not usable.
    """
    actions = {
        "stub": _stub,
        "check": _check,
        "export": _export,
    }
    return actions[arguments.action](arguments, read_review_settings(arguments))


def _check(arguments: argparse.Namespace, settings: ReviewSettings) -> int:
    from sage_migrate.review.facts import foresee, has_lint

    changes = find_changes(settings, everything=arguments.all, tracked_only=arguments.draft)
    linted = has_lint()
    hazards = (
        {path: set(each.hazards) for path, each in foresee(changes.revisions, settings.lint_off, locks=False).items()}
        if linted
        else {}
    )
    judgement = judge(changes, settings, hazards, draft=arguments.draft)
    sys.stdout.write(f"{_printed(judgement, arguments.format)}\n")
    if changes.revisions and not linted:
        sys.stderr.write(
            "Hazards are those that the reviews name: to ask lint too, pip install 'sage-migrate[lint]'.\n"
        )
    return int(any(each.severity == "error" for each in judgement.violations))


def _printed(judgement: Judgement, form: str) -> str:
    from sage_migrate.lint.output import FORMATS as PRINTERS

    if form == "text" and not judgement.violations:
        return f"Reviewed: {_counted(judgement.revisions)}." if judgement.revisions else "Nothing to review."
    return PRINTERS[form](judgement.violations)


def _counted(number: int) -> str:
    return f"{number} revision{'' if number == 1 else 's'}"


def _stub(arguments: argparse.Namespace, settings: ReviewSettings) -> int:
    from sage_migrate.review import stub
    from sage_migrate.review.facts import facts_of, foresee, has_lint, read_trace, said_in_header, title_of

    if not has_lint():
        raise UsageError("review stub needs PostgreSQL's grammar.", remedy="pip install 'sage-migrate[lint]'.")
    traces = read_trace(Path(arguments.trace)) if arguments.trace else {}
    changes = find_changes(settings, everything=arguments.all)
    revisions = [each for each in changes.revisions if not each.only_joins]
    foreseen = foresee(revisions, settings.lint_off, locks=True)
    to_write: dict[Path, list[stub.Draft]] = {}
    for revision in revisions:
        known = [each for each in changes.entries if each.revision == revision.identifier]
        author = changes.repository.author(revision.path, changes.fork) if changes.repository else None
        facts = facts_of(
            revision,
            author.name if author else "",
            foreseen[revision.path],
            traces.get(revision.identifier),
            known[-1].facts if known else {},
        )
        if (settings.reviews or settings.front_matter) and not any(each.facts_lines for each in known):
            # Theirs to write: in a format that we only read.
            sys.stdout.write("".join(f"{revision.identifier} {name}: {text}\n" for name, text in facts.items()))
            continue
        draft = stub.Draft(revision=revision, title=title_of(revision), facts=facts, said=said_in_header(revision))
        path = _document_for(revision, changes, settings, arguments.doc, to_write)
        to_write.setdefault(path, []).append(draft)
    for path, drafts in to_write.items():
        before = path.read_bytes() if path.is_file() else None
        after = stub.write_drafts(
            path, before if before is not None else stub.new_document(path, drafts[0].title), drafts
        )
        if after != before:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(after)
        names = ", ".join(each.revision.identifier for each in drafts)
        sys.stdout.write(f"{shown(path)}: {names}{'' if after != before else ' (as it was)'}\n")
    if not revisions:
        sys.stdout.write("Nothing to review.\n")
    return 0


def _document_for(
    revision: ReviewedRevision,
    changes: Changes,
    settings: ReviewSettings,
    asked: str | None,
    to_write: Iterable[Path],
) -> Path:
    """Return where a revision's entry is, or is to be: the branch's newest cycle doc, else a new one."""
    from sage_migrate.review.facts import title_of
    from sage_migrate.review.stub import document_name

    if asked:
        path = Path(asked).resolve()
        if not holds_reviews(path, settings) or path.suffix != ".md":
            raise UsageError(f"{asked} is no cycle doc.", remedy=f"They are {shown(settings.docs)}/YYYY-MM-DD-SLUG.md.")
        return path
    written = [
        each.path for each in changes.entries if each.revision == revision.identifier and each.path.suffix == ".md"
    ]
    candidates = [*to_write, *(each for each in changes.documents if each.suffix == ".md" and changes.fork is not None)]
    if written or candidates:
        return written[-1] if written else candidates[-1]
    return settings.docs / document_name(title_of(revision), datetime.now(UTC).date())


def _export(arguments: argparse.Namespace, settings: ReviewSettings) -> int:
    from sage_migrate.review.export import as_manifest, write_manifest

    changes = find_changes(settings, everything=True)
    everything, _ = read_all(settings.locations)
    judgement = judge(changes, settings, {})
    if not arguments.partial and judgement.violations:
        sys.stdout.write(f"{_printed(judgement, 'text')}\nNothing was written.\n")
        return 1
    kept = [each for each in everything if each.identifier not in judgement.unreviewed]
    path = Path(arguments.output) if arguments.output else settings.locations.scripts / MANIFEST
    write_manifest(path, as_manifest(kept, settings.locations))
    left = f"; left out as not reviewed: {', '.join(sorted(judgement.unreviewed))}" if judgement.unreviewed else ""
    sys.stdout.write(f"{path}: {_counted(len(kept))}{left}.\n")
    return 0
