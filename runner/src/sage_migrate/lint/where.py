"""What a condition or an expression tells without the data: how many rows, found how, computed once or for each row."""

from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType

from sage_migrate.lint.statements import Filter, Volatility

pg: Any = ast
"""Not typed: of a node every field may be None, though the grammar says more."""

# Functions of PostgreSQL's that a default calls and whose value is computed once for all rows (STABLE or IMMUTABLE).
_ONCE = frozenset(
    [
        "now",
        "transaction_timestamp",
        "statement_timestamp",
        "current_setting",
        "current_database",
        "current_schema",
        "current_user",
        "to_timestamp",
        "to_date",
        "to_char",
        "to_jsonb",
        "to_json",
        "jsonb_build_object",
        "json_build_object",
        "jsonb_build_array",
        "json_build_array",
        "lower",
        "upper",
        "md5",
        "coalesce",
        "concat",
        "concat_ws",
        "date_trunc",
        "timezone",
        "make_interval",
        "make_date",
        "make_timestamp",
        "make_timestamptz",
        "length",
        "trim",
        "btrim",
        "ltrim",
        "rtrim",
        "substring",
        "substr",
        "left",
        "right",
        "replace",
        "round",
        "floor",
        "ceil",
        "abs",
        "greatest",
        "least",
        "array_fill",
        "date_part",
        "extract",
        "age",
        "format",
        "quote_literal",
        "txid_current",
        "pg_current_xact_id",
        "empty_blob",
        "decode",
        "encode",
        "sha256",
        "int4range",
        "int8range",
        "numrange",
        "tsrange",
        "tstzrange",
        "daterange",
        "to_tsvector",
        "hstore",
        "nullif",
        "repeat",
        "lpad",
        "rpad",
        "point",
        "box",
        "st_geomfromtext",
    ]
)
_MANY = Filter(selects="most")


def expression_volatility(node: Any) -> Volatility:
    """Tell whether a default is computed once, or for each row (which rewrites the table)."""
    from sage_migrate.lint.sql import walk

    for each in walk(node):
        if isinstance(each, pg.FuncCall) and each.funcname[-1].sval.lower() not in _ONCE:
            return "volatile"
    return "constant"


def length_cut(node: Any) -> bool:
    """Tell whether a USING expression cuts values to a length, which loses the rest."""
    if isinstance(node, pg.TypeCast):
        names = [part.sval for part in node.typeName.names]
        return (names[-1] in ("varchar", "bpchar") and bool(node.typeName.typmods)) or length_cut(node.arg)
    if isinstance(node, pg.FuncCall):
        name = node.funcname[-1].sval.lower()
        return name in ("left", "right", "substring", "substr", "trunc", "round", "floor", "ceil", "date_trunc")
    return False


def read_filter(node: Any) -> Filter:  # noqa: PLR0911  one branch a kind of condition
    """Tell how much of a table a WHERE clause lets through."""
    if node is None:
        return _MANY
    if isinstance(node, pg.BoolExpr):
        parts = [read_filter(each) for each in node.args]
        if node.boolop == BoolExprType.AND_EXPR:
            return _narrowest(parts, span=_span(node))
        if node.boolop == BoolExprType.OR_EXPR:
            worst = max(parts, key=lambda part: _WIDTH[part.selects])
            return Filter(
                selects=worst.selects,
                by_key=all(part.by_key for part in parts),
                never=all(part.never for part in parts),
            )
        return _MANY
    if isinstance(node, pg.A_Expr):
        return _comparison(node)
    if isinstance(node, pg.SubLink):
        return _sublink(node)
    if isinstance(node, pg.A_Const) and isinstance(node.val, pg.Boolean) and not node.val.boolval:
        return Filter(selects="few", by_key=True, never=True)
    if isinstance(node, pg.CurrentOfExpr):
        return Filter(selects="few", by_key=True)
    return _MANY


_WIDTH = {"few": 0, "batch": 1, "most": 2}


def _narrowest(parts: list[Filter], *, span: bool) -> Filter:
    best = min(parts, key=lambda part: _WIDTH[part.selects])
    if best.selects == "most" and span:
        return Filter(selects="batch", by_key=True)
    return Filter(
        selects=best.selects, by_key=any(part.by_key for part in parts), never=any(part.never for part in parts)
    )


def _span(node: Any) -> bool:
    """Tell whether a conjunction bounds one column from both sides."""
    sides: dict[str, set[str]] = {}
    for each in node.args:
        if isinstance(each, pg.A_Expr) and isinstance(each.lexpr, pg.ColumnRef) and each.kind == A_Expr_Kind.AEXPR_OP:
            name = getattr(each.lexpr.fields[-1], "sval", "")
            sides.setdefault(name, set()).add(each.name[-1].sval[:1])
    return any({"<", ">"} <= signs for signs in sides.values())


def _column(node: Any) -> str | None:
    while isinstance(node, (pg.TypeCast, pg.CollateClause)):
        node = node.arg
    if isinstance(node, pg.FuncCall) and node.args and len(node.args) == 1:
        node = node.args[0]
    if isinstance(node, pg.ColumnRef) and isinstance(node.fields[-1], pg.String):
        name = str(node.fields[-1].sval)
        return None if name.startswith("sm_unknown") else name
    return None


def _given(node: Any) -> bool:
    """Tell whether an operand is a value that the revision gives: a constant, a parameter, something unknown."""
    from sage_migrate.lint.sql import walk

    return all(
        not isinstance(each, pg.ColumnRef) or str(getattr(each.fields[-1], "sval", "")).startswith("sm_unknown")
        for each in walk(node)
    ) and not any(isinstance(each, pg.SubLink) for each in walk(node))


def _is_key(name: str) -> bool:
    return (
        name == "id"
        or name.endswith(("_id", "uuid", "_pk"))
        or name in ("pk", "key", "slug", "code", "uid", "version_num")
    )


def _comparison(node: Any) -> Filter:  # noqa: PLR0911  one return a kind of comparison  # noqa: PLR0911
    kind, operator = node.kind, node.name[-1].sval
    column = _column(node.lexpr)
    if kind == A_Expr_Kind.AEXPR_BETWEEN:
        return Filter(selects="batch", by_key=True)
    if kind == A_Expr_Kind.AEXPR_OP and column is None and _column(node.rexpr) is not None:
        column, given = _column(node.rexpr), _given(node.lexpr)
        return _equality(column, operator, given=given)
    if kind in (A_Expr_Kind.AEXPR_IN, A_Expr_Kind.AEXPR_OP_ANY) and operator == "=" and column:
        return Filter(selects="few", by_key=_is_key(column))
    if kind == A_Expr_Kind.AEXPR_OP:
        if column is None:
            constant = _given(node.lexpr) and _given(node.rexpr)
            false = (
                constant
                and isinstance(node.lexpr, pg.A_Const)
                and isinstance(node.rexpr, pg.A_Const)
                and operator == "="
                and _value(node.lexpr) != _value(node.rexpr)
            )
            return Filter(selects="few", by_key=True, never=True) if false else _MANY
        return _equality(column, operator, given=_given(node.rexpr))
    if kind in (A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE) and column and operator in ("~~", "~~*"):
        pattern = getattr(getattr(node.rexpr, "val", None), "sval", "%")
        return _MANY if pattern.strip("%") == "" else Filter(selects="few")
    return _MANY


def _value(node: Any) -> Any:
    return getattr(node.val, "ival", getattr(node.val, "sval", None))


def _equality(column: str | None, operator: str, *, given: bool) -> Filter:
    if operator == "=" and given and column:
        return Filter(selects="few", by_key=_is_key(column))
    return _MANY


def _sublink(node: Any) -> Filter:
    select = node.subselect
    if getattr(select, "limitCount", None) is not None:
        return Filter(selects="batch", by_key=True)
    if node.testexpr is not None and getattr(select, "whereClause", None) is not None:
        inner = read_filter(select.whereClause)
        return Filter(selects=inner.selects, by_key=False)
    return _MANY
