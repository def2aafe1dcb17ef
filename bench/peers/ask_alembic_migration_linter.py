"""Runs in alembic-migration-linter's environment: prints what it says of each revision of a project, as [revision, code]."""

import json
import sys

from alembic_migration_linter.linter import AlembicMigrationLinter

linter = AlembicMigrationLinter(config_path=sys.argv[1], no_cache=True)
found = []
for migration in linter.loader.get_revisions_since("shop"):
    try:
        result = linter.lint_migration(migration)
    except Exception:  # noqa: BLE001  its command ends at the first revision that raises
        continue
    found += [(migration.revision, each.code) for each in (*result.errors, *result.warnings)]
sys.stdout.write(json.dumps(found))
