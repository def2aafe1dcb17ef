"""A revision imports the application's models."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.analysis import Analysis
from sage_migrate.lint.rule import Finding, RevisionRule, RevisionSource


class ModelsImported(RevisionRule):
    """A revision imports ORM models of the application."""

    code = "SM143"
    hazards = ()
    severity = "warning"
    condition = "A revision imports ORM models of the application."
    effect = (
        "The models change; an old revision then names columns that its schema does not have yet, and fails "
        "for whoever starts anew."
    )
    workaround = "Name what the revision needs with sa.table() and sa.column()."
    bad = """\
from app.models import User

def upgrade():
    op.execute(sa.update(User).where(User.id == 1).values(status="active"))
"""
    good = """\
users = sa.table("users", sa.column("id"), sa.column("status"))
op.execute(users.update().where(users.c.id == 1).values(status="active"))
"""

    def check_revision(self, revision: RevisionSource, analysis: Analysis) -> Iterator[Finding]:  # noqa: ARG002  # noqa: ARG002
        """Yield a finding where the condition holds."""
        assert isinstance(revision.tree, ast.Module)
        if "models" not in revision.source:
            return
        for node in ast.walk(revision.tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module
                and "models" in node.module.split(".")
                and not node.module.startswith(("sqlalchemy", "alembic"))
            ):
                yield Finding(
                    message=f"The models in {node.module} change after this revision was written; it then fails for whoever starts anew.",
                    help='Instead: name what is needed here.\nusers = sa.table("users", sa.column("id"))',
                    line=node.lineno,
                )
