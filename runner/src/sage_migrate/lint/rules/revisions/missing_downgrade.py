"""A revision without a downgrade()."""

import ast
from collections.abc import Iterator

from sage_migrate.lint.analysis import Analysis
from sage_migrate.lint.rule import Finding, RevisionRule, RevisionSource

_STOCK = "Downgrade schema."


class MissingDowngrade(RevisionRule):
    """upgrade() changes something, and there is no downgrade(), or it does nothing."""

    code = "SM148"
    hazards = ()
    severity = "warning"
    condition = "upgrade() changes something, and there is no downgrade(), or it does nothing."
    effect = "A release that has to go back cannot take its schema back; alembic downgrade passes over it in silence."
    workaround = (
        "Write it, raise NotImplementedError with the reason, or say in its docstring why there is nothing to do."
    )
    bad = """\
def upgrade():
    op.add_column("orders", sa.Column("carrier", sa.Text(), nullable=True))

def downgrade():
    pass
"""
    good = """\
def upgrade():
    op.add_column("orders", sa.Column("carrier", sa.Text(), nullable=True))

def downgrade():
    op.drop_column("orders", "carrier")
"""

    def check_revision(self, revision: RevisionSource, analysis: Analysis) -> Iterator[Finding]:
        """Yield a finding where the condition holds."""
        assert isinstance(revision.tree, ast.Module)
        functions = {
            node.name: node for node in revision.tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        down = functions.get("downgrade")
        empty = down is None or (
            all(isinstance(each, (ast.Pass, ast.Expr)) and not _calls(each) for each in down.body)
            and not _says_why(down)
        )
        if analysis.statements and empty and "upgrade" in functions:
            yield Finding(
                message="What upgrade() does here, downgrade() does not take back.",
                help='Instead: write it, or say why not.\ndef downgrade():\n    raise NotImplementedError("…")',
                line=(down or functions["upgrade"]).lineno,
            )


def _says_why(down: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the whole body is a docstring, other than the one of Alembic's template."""
    return len(down.body) == 1 and (ast.get_docstring(down) or _STOCK) != _STOCK


def _calls(node: ast.stmt) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(node))
