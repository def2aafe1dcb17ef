"""Elements of HTML and SVG. Text is escaped unless it is markup already, so that no name can become an element."""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "line", "rect", "path", "use"})


class Markup(str):
    """Text that is escaped already."""

    __slots__ = ()


Content = str | Markup


def element(name: str, /, *children: Content, **attributes: object) -> Markup:
    """Return an element; of attribute names ``class_`` is ``class`` and ``stroke_width`` is ``stroke-width``.

    An attribute that is None is left out, one that is True has no value; numbers are rounded to a tenth.
    """
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}{'' if name == 'meta' else '/'}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[Content]) -> Markup:
    """Return ``parts`` one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part, quote=True) for part in parts))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
    return f' {name}="{escape(text, quote=True)}"'
