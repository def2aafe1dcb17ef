"""What ALTER COLUMN … TYPE does to rows and to old code, by the two types."""

from dataclasses import dataclass

from sage_migrate.lint.statements import AlterType, Type

_FAMILIES = {
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "numeric": "number",
    "float4": "number",
    "float8": "number",
    "money": "number",
    "varchar": "text",
    "text": "text",
    "bpchar": "text",
    "citext": "text",
    "date": "date",
    "timestamp": "date",
    "timestamptz": "date",
    "json": "json",
    "jsonb": "json",
    "bool": "boolean",
    "uuid": "uuid",
    "bytea": "bytes",
    "time": "time",
    "timetz": "time",
    "interval": "interval",
    "inet": "address",
    "cidr": "address",
}
_SERIAL = {
    "serial": "int4",
    "bigserial": "int8",
    "smallserial": "int2",
    "serial4": "int4",
    "serial8": "int8",
    "serial2": "int2",
}
_SIZES = {"int2": 2, "int4": 4, "int8": 8}
# From this length on, a varchar of which nothing else is known is taken to have grown.
_LONG = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeChange:
    """The consequences."""

    rewrites: bool
    breaks_old_code: bool = False
    loses_data: bool = False


def judge(action: AlterType, known: Type | None) -> TypeChange:
    """Tell the consequences of ``action``; ``known`` is the column's type before, None where nobody knows."""
    new = action.type
    old = action.existing_type or known
    if old is not None and old.name in _SERIAL:
        old = old.changed(name=_SERIAL[old.name])
    if new is None:
        return TypeChange(rewrites=True)
    if old is None:
        grown = not action.using and (
            new.name in ("text", "citext")
            or (new.name == "varchar" and (not new.modifiers or new.modifiers[0] >= _LONG))
        )
        return TypeChange(
            rewrites=not grown or action.collation, loses_data=action.shortens, breaks_old_code=action.shortens
        )
    if action.using and action.shortens:
        narrower = _family(new) == "text" and bool(new.modifiers)
        return TypeChange(rewrites=True, loses_data=True, breaks_old_code=narrower or _breaks(old, new))
    return TypeChange(
        rewrites=_rewrites(old, new) or bool(action.using and _computes(action)) or action.collation,
        breaks_old_code=_breaks(old, new),
        loses_data=_loses(old, new),
    )


def _computes(action: AlterType) -> bool:
    """Tell whether USING is more than the column itself or a cast of it."""
    text = (action.using or "").strip().strip("()").replace('"', "").lower()
    bare = text.removeprefix("cast(").split("::")[0].split(" as ")[0].strip()
    return bare != action.column.lower()


def _family(type_: Type) -> str:
    return "array" if type_.array else _FAMILIES.get(type_.name, "own")


def _rewrites(old: Type, new: Type) -> bool:  # noqa: PLR0911  one return a case that PostgreSQL knows
    if old.array != new.array:
        return True
    if old.name == new.name:
        if old.modifiers == new.modifiers or (not new.modifiers and old.name != "bpchar"):
            return False
        if not old.modifiers:
            return True
        if old.name == "numeric":
            return new.modifiers[0] < old.modifiers[0] or _scale(new) != _scale(old)
        return old.name == "bpchar" or new.modifiers[0] < old.modifiers[0]
    if {old.name, new.name} <= {"varchar", "text", "citext"}:
        return bool(new.modifiers)
    return (old.name, new.name) != ("cidr", "inet")


def _scale(type_: Type) -> int:
    return type_.modifiers[1] if len(type_.modifiers) > 1 else 0


def _breaks(old: Type, new: Type) -> bool:
    first, second = _family(old), _family(new)
    if old.array != new.array:
        return True
    if first == second:
        if first == "text" and new.modifiers and old.name != "text":
            return not old.modifiers or new.modifiers[0] < old.modifiers[0]
        return _SIZES.get(new.name, 8) < _SIZES.get(old.name, 0)
    if (  # noqa: SIM103
        {first, second} == {"integer", "number"}
        or (first == "text" and second in ("own", "uuid"))
        or (first == "own" and second == "text")
    ):
        return False
    return True


def _loses(old: Type, new: Type) -> bool:
    if old.name == new.name == "numeric" and old.modifiers and new.modifiers:
        return _scale(new) < _scale(old)
    if _family(old) == "number" and _family(new) == "integer":
        return old.name != "numeric" or _scale(old) > 0 or not old.modifiers
    return old.name in ("timestamp", "timestamptz") and new.name == "date"
