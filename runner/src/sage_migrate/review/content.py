"""The hash of what a revision does: the same on Python 3.11 to 3.14, and however its file is formatted.

`ast.dump` differs from version to version, so the syntax tree is written out here: names of nodes and fields, values,
nothing for a field that is empty. Comments, strings that stand alone (docstrings), positions and the literal
``down_revision`` are left out.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_DIGITS = 24
# Kind is the u of u"…", ctx follows from the place, and type comments are comments.
_WITHOUT_EFFECT = frozenset(("kind", "ctx", "type_comment", "type_ignores"))


def content_hash(source: bytes, tree: ast.Module, taken_in: Mapping[Path, bytes]) -> str:
    """Return the hash of a revision; the part after a ``+`` is that of the files that it takes in."""
    own = own_hash(source, tree)
    others = sorted(_hash_file(path, content) for path, content in taken_in.items())
    return f"{own}+{_digest(others)}" if others else own


def own_hash(source: bytes, tree: ast.Module) -> str:
    """Return the hash of the revision's own file."""
    return _digest(_write(tree, keep_strings=b"__doc__" in source or b"getdoc" in source))


def _hash_file(path: Path, content: bytes) -> str:
    if path.suffix == ".py":
        try:
            return own_hash(content, ast.parse(content))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return _digest([normalise_lines(content).decode(errors="surrogateescape")])


def normalise_lines(source: bytes) -> bytes:
    """Return ``source`` with the line endings that Git keeps."""
    return source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode(errors="surrogateescape"))
    return digest.hexdigest()[:_DIGITS]


def _write(tree: ast.Module, *, keep_strings: bool) -> Iterator[str]:
    """Yield the tree's text. A stack instead of recursion: a long chain of ``+`` is a deep tree."""
    body = [node for node in tree.body if not _is_down_revision(node)]
    stack: list[object] = [_Text("\n"), body]
    while stack:
        node = stack.pop()
        if isinstance(node, _Text):
            yield node
        elif isinstance(node, ast.Constant):
            yield f"({_constant(node.value)})"
        elif isinstance(node, ast.AST):
            stack.append(_Text(")"))
            for name, value in reversed(list(_fields(node))):
                stack += [value, _Text(f" {name}=")]
            yield f"({type(node).__name__}"
        elif isinstance(node, list):
            kept = node if keep_strings else [each for each in node if not _is_lone_string(each)]
            stack += [_Text("]"), *reversed(kept), _Text("[")]
        else:  # an identifier, a number of dots, None in place of a key
            yield f"<{_constant(node)}>"


class _Text(str):
    """A piece of the text, to be told from a name in the tree."""

    __slots__ = ()


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.JoinedStr):
            yield name, list(_joined(node.values))
        elif isinstance(node, ast.FormattedValue) and name == "format_spec" and not _says_something(value):
            continue
        elif name == "is_lazy" and not value:
            continue  # since 3.15 an import has it
        elif name not in _WITHOUT_EFFECT and value is not None and value != []:
            yield name, value


def _joined(values: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """Yield the parts of an f-string with its plain pieces put together, which versions split differently."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield value
    if text:
        yield ast.Constant(text)


def _says_something(value: object) -> bool:
    return isinstance(value, ast.JoinedStr) and bool(list(_joined(value.values)))


def _is_lone_string(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_down_revision(node: ast.stmt) -> bool:
    """Tell whether the statement only says what the revision follows: a call there would do something."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return False
    value = node.value
    parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    return (
        isinstance(target, ast.Name)
        and target.id == "down_revision"
        and all(isinstance(each, ast.Constant) for each in parts)
    )


def _constant(value: object) -> str:  # noqa: PLR0911  one a type
    """Return a value's text: no `repr`, whose escapes follow the version's Unicode, and no limit on digits."""
    match value:
        case str():
            return f"s{value!a}"
        case bytes():
            return f"b{value.hex()}"
        case bool() | None:
            return str(value)
        case int():
            return f"i{value:x}"
        case float():
            return f"f{value.hex()}"
        case complex():
            return f"c{value.real.hex()},{value.imag.hex()}"
        case _:
            return "..."
