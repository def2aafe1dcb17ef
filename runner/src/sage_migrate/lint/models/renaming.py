"""Writes an attribute anew under a name that is free, as its author would."""

import ast

from sage_migrate.lint.models.calls import called_name, text_of
from sage_migrate.lint.models.classes import Attribute

FREE = {"metadata": "extra_metadata", "registry": "registry_name"}
"""The convention: what a reserved name becomes."""
EXAMPLE = {
    "metadata": 'extra_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)',
    "registry": 'registry_name: Mapped[str] = mapped_column("registry")',
}
"""How a column of that name is declared by convention."""


def renamed(attribute: Attribute) -> str:
    """Return the attribute's statement with a free name; its column keeps the name that the database knows."""
    written = ast.get_source_segment(attribute.owner.module.source, attribute.node)
    if written is None or not isinstance(attribute.node, (ast.Assign, ast.AnnAssign)) or attribute.kind == "other":
        return EXAMPLE[attribute.name] if attribute.kind != "other" else f"{FREE[attribute.name]} …"
    written = written.replace(attribute.name, FREE[attribute.name], 1)
    if attribute.kind == "column" and attribute.value is None:
        return f'{written} = mapped_column("{attribute.name}")'
    call, owner = attribute.value, attribute.owner
    if called_name(call, owner.scope, owner.models.project) in ("mapped_column", "Column"):
        assert isinstance(call, ast.Call)
        named = any(each.arg == "name" for each in call.keywords) or (call.args and text_of(call.args[0]) is not None)
        maker = ast.get_source_segment(owner.module.source, call.func)
        if not named:
            comma = ", " if call.args or call.keywords else ""
            written = written.replace(f"{maker}(", f'{maker}("{attribute.name}"{comma}', 1)
    return written
