"""Runs in migration-lint's environment: prints what its two linters say of each SQL file, as [file, rule]."""

import contextlib
import json
import logging
import re
import sys
from pathlib import Path

from migration_lint.analyzer import CompatibilityLinter, SquawkLinter
from migration_lint.extractor.model import ExtendedSourceDiff

_OWN = {
    "There are restricted statements": "restricted",
    "You have backward incompatible operations": "backward incompatible",
    "Seems like you have data migration": "data migration",
    "Statement can't be identified": "not identified",
}


def main() -> None:
    """Ask both about each file."""
    logging.disable()
    found = set()
    with contextlib.redirect_stdout(sys.stderr):
        code = ExtendedSourceDiff(path="app.py", old_path="app.py", allowed_with_backward_incompatible=False)
        for name in sys.argv[1:]:
            sql = Path(name).read_text()
            try:
                own = CompatibilityLinter().lint(sql, [code])
            except RuntimeError:  # what its parser does not know ends it
                own = []
            for said in own:
                found |= {(Path(name).stem, rule) for start, rule in _OWN.items() if start in said}
            for said in SquawkLinter().lint(sql, [code]):
                found |= {
                    (Path(name).stem, rule) for rule in re.findall(r"squawk (?:\S+: )?([a-z]+(?:-[a-z]+)+)", said)
                }
    sys.stdout.write(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
