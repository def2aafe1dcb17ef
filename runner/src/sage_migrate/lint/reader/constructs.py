"""SQLAlchemy's constructs, as they were written, to types, columns, constraints and statements."""

from collections.abc import Iterator
from typing import Any

from sage_migrate.lint import statements as ir
from sage_migrate.lint.reader.evaluation import as_text
from sage_migrate.lint.reader.values import Compared, Made, Name, Unknown

# What reads SQL is imported where there is some: PostgreSQL's grammar takes as long to load as all else together.
TYPES = {
    "Integer": "int4",
    "INTEGER": "int4",
    "INT": "int4",
    "BigInteger": "int8",
    "BIGINT": "int8",
    "SmallInteger": "int2",
    "SMALLINT": "int2",
    "String": "varchar",
    "VARCHAR": "varchar",
    "Unicode": "varchar",
    "AutoString": "varchar",
    "NVARCHAR": "varchar",
    "Text": "text",
    "TEXT": "text",
    "UnicodeText": "text",
    "CHAR": "bpchar",
    "Boolean": "bool",
    "BOOLEAN": "bool",
    "Date": "date",
    "DATE": "date",
    "Time": "time",
    "TIME": "time",
    "Interval": "interval",
    "INTERVAL": "interval",
    "Numeric": "numeric",
    "NUMERIC": "numeric",
    "DECIMAL": "numeric",
    "Float": "float8",
    "FLOAT": "float8",
    "Double": "float8",
    "DOUBLE_PRECISION": "float8",
    "DOUBLE": "float8",
    "REAL": "float4",
    "JSON": "json",
    "JSONB": "jsonb",
    "UUID": "uuid",
    "Uuid": "uuid",
    "GUID": "uuid",
    "LargeBinary": "bytea",
    "BYTEA": "bytea",
    "CITEXT": "citext",
    "INET": "inet",
    "CIDR": "cidr",
    "HSTORE": "hstore",
    "TSVECTOR": "tsvector",
    "OID": "oid",
    "MACADDR": "macaddr",
    "BIT": "bit",
    "MONEY": "money",
    "EmailType": "varchar",
}
_LENGTHS = frozenset(("varchar", "bpchar", "numeric", "bit"))


def table_name(value: Any, schema: Any = None) -> str:
    """Return the name of a table by what was given for it."""
    if isinstance(value, Made) and value.name in ("Table", "table"):
        schema = value.keywords.get("schema", schema)
        value = value.args[0] if value.args else ir.UNKNOWN
    name = as_text(value)
    return f"{schema}.{name}" if isinstance(schema, str) and schema != "public" else name


def read_type(value: Any) -> ir.Type | None:  # noqa: PLR0911  one return a kind of type
    """Return the type that a column is given."""
    if isinstance(value, Name):
        return ir.Type(name=TYPES[value.last]) if value.last in TYPES else _dated(value.last, {})
    if not isinstance(value, Made):
        return None
    while (
        value.source is not None and isinstance(value.source, Made) and value.name in ("with_variant", "evaluates_none")
    ):
        value = value.source
    name = value.name
    if dated := _dated(name, value.keywords, value.args):
        return dated
    if name in ("Enum", "ENUM"):
        labels = tuple(each for each in value.args if isinstance(each, str))
        if value.keywords.get("native_enum") is False:
            return ir.Type(name="varchar")
        given = value.keywords.get("name")
        return ir.Type(name=given if isinstance(given, str) else "enum", values=labels)
    if name == "ARRAY":
        inner = read_type(value.args[0]) if value.args else None
        return ir.Type(name=inner.name if inner else "unknown", modifiers=inner.modifiers if inner else (), array=True)
    if name not in TYPES:
        return None
    spelled = TYPES[name]
    if spelled not in _LENGTHS:
        return ir.Type(name=spelled)
    given_args = [each for each in value.args if isinstance(each, int)]
    given_args += [
        value.keywords[key] for key in ("length", "precision", "scale") if isinstance(value.keywords.get(key), int)
    ]
    return ir.Type(name=spelled, modifiers=tuple(given_args[:2]))


def _dated(name: str, keywords: dict[str, Any], args: list[Any] | None = None) -> ir.Type | None:
    if name in ("DateTime", "DATETIME", "TIMESTAMP"):
        zone = keywords.get("timezone", args[0] if args else False)
        return ir.Type(name="timestamptz" if zone is True else "timestamp")
    return None


def read_column(made: Made) -> ir.Column:  # noqa: C901  one branch a kind of argument  # noqa: C901
    """Return the column that ``sa.Column(…)`` describes."""
    args = list(made.args)
    name = (
        as_text(args.pop(0))
        if args and (isinstance(args[0], (str, Unknown)) or _is_name(args[0]))
        else as_text(made.keywords.get("name"))
    )
    type_: ir.Type | None = read_type(made.keywords.get("type_"))
    constraints: list[ir.Constraint] = []
    generated, identity = None, False
    keywords = made.keywords
    for each in args:
        if isinstance(each, Made) and each.name == "ForeignKey":
            target = as_text(each.args[0]) if each.args else ir.UNKNOWN
            if each.args and isinstance(each.args[0], Made) and each.args[0].name in ("column", "attribute"):
                owner = each.args[0].source
                target = f"{table_name(owner.source if isinstance(owner, Made) and owner.name == 'c' else owner)}.{each.args[0].args[0]}"
            table, _, column = target.rpartition(".")
            constraints.append(
                ir.Constraint(
                    kind="foreign key",
                    name=_text_or_none(each.keywords.get("name")),
                    columns=(name,),
                    references=table.removeprefix("public."),
                    referred_columns=(column,),
                    not_valid=each.keywords.get("postgresql_not_valid") is True,
                )
            )
        elif isinstance(each, Made) and each.name == "CheckConstraint":
            constraints.append(read_constraint(each, (name,)))
        elif isinstance(each, Made) and each.name == "Computed":
            persisted = each.keywords.get("persisted", each.args[1] if len(each.args) > 1 else None)
            generated = "virtual" if persisted is False else "stored"
        elif isinstance(each, Made) and each.name == "Identity":
            identity = True
        elif type_ is None:
            type_ = read_type(each)
            if (
                isinstance(each, Made)
                and each.name in ("Boolean", "Enum")
                and each.keywords.get("create_constraint") is True
            ):
                constraints.append(
                    ir.Constraint(kind="check", name=_text_or_none(each.keywords.get("name")), columns=(name,))
                )
    if keywords.get("unique") is True:
        constraints.append(ir.Constraint(kind="unique", columns=(name,)))
    primary = keywords.get("primary_key") is True
    if primary:
        constraints.append(ir.Constraint(kind="primary key", columns=(name,)))
    return ir.Column(
        name=name,
        type=type_,
        not_null=keywords.get("nullable") is False or primary or (identity and keywords.get("nullable") is not True),
        default=read_default(keywords.get("server_default")),
        generated=generated,  # type: ignore[arg-type]
        identity=identity,
        constraints=tuple(constraints),
        index=keywords.get("index") is True,
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, Made) and value.name in ("quoted_name", "conv")


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else as_text(value) if isinstance(value, Made) else None


def read_default(value: Any) -> ir.Volatility | None:  # noqa: PLR0911  one return a kind of default  # noqa: PLR0911
    """Tell how a ``server_default`` is computed; None where there is none."""
    if value is None:
        return None
    if isinstance(value, (str, int, float, bool)):
        return "constant"
    if isinstance(value, Made):
        if value.name in ("text", "TextClause", "literal_column") and value.args:
            return _volatility(as_text(value.args[0]))
        if isinstance(value.source, Name) or value.name.startswith("func."):
            return _volatility(f"{value.name.removeprefix('func.')}()")
        if value.name == "Sequence":
            return "volatile"
        if value.name in ("cast", "type_coerce"):
            return read_default(value.args[0]) if value.args else "constant"
        return "constant"
    if isinstance(value, Name):
        return (
            "volatile"
            if value.last in ("random", "gen_random_uuid", "uuid_generate_v4", "clock_timestamp")
            else "constant"
        )
    return "unknown"


def _volatility(text: str) -> ir.Volatility:
    from sage_migrate.lint.sql import parse_expression
    from sage_migrate.lint.where import expression_volatility

    node = parse_expression(text)
    return expression_volatility(node) if node is not None else "unknown"


def read_constraint(made: Made, columns: tuple[str, ...] = ()) -> ir.Constraint:
    """Return the constraint that a construct of SQLAlchemy's describes."""
    name = _text_or_none(made.keywords.get("name"))
    not_valid = made.keywords.get("postgresql_not_valid") is True
    if made.name == "ForeignKeyConstraint":
        local, remote = (
            (made.args + [made.keywords.get("columns"), made.keywords.get("refcolumns")])[:2]  # noqa: RUF005
            if len(made.args) >= 2  # noqa: PLR2004
            else (None, None)
        )
        referred = [as_text(each) for each in remote] if isinstance(remote, (list, tuple)) else [f"{ir.UNKNOWN}.id"]
        return ir.Constraint(
            kind="foreign key",
            name=name,
            columns=_names(local),
            references=referred[0].rpartition(".")[0].removeprefix("public."),
            referred_columns=tuple(each.rpartition(".")[2] for each in referred),
            not_valid=not_valid,
        )
    if made.name == "CheckConstraint":
        condition = made.args[0] if made.args else made.keywords.get("sqltext")
        return check(name, condition, not_valid=not_valid, columns=columns)
    kind: Any = {"UniqueConstraint": "unique", "PrimaryKeyConstraint": "primary key"}.get(made.name, "exclusion")
    return ir.Constraint(kind=kind, name=name, columns=_names(made.args))


def check(name: str | None, condition: Any, *, not_valid: bool, columns: tuple[str, ...] = ()) -> ir.Constraint:
    """Return a check constraint by its condition."""
    from sage_migrate.lint import sql

    text = as_text(condition) if not isinstance(condition, Compared) else ""
    node = sql.parse_expression(text) if text and ir.UNKNOWN not in text else None
    found = tuple(sql._columns_in(node)) if node is not None else tuple(columns_of(condition))  # noqa: SLF001
    return ir.Constraint(
        kind="check",
        name=name,
        columns=found or columns,
        not_null_columns=sql.not_null_columns(node),
        expression=text,
        not_valid=not_valid,
    )


def columns_of(value: Any) -> Iterator[str]:
    """Yield the columns that a condition of SQLAlchemy's mentions."""
    if isinstance(value, Compared):
        yield from columns_of(value.left)
        yield from columns_of(value.right)
    elif isinstance(value, Made):
        name = column_name(value)
        if name:
            yield name
        for each in value.args:
            yield from columns_of(each)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        return (ir.UNKNOWN,)
    return tuple(column_name(each) or as_text(each) if isinstance(each, Made) else as_text(each) for each in value)


names = _names


def column_name(value: Any) -> str | None:
    """Return the name of a column by ``sa.column("x")`` or ``table.c.x``."""
    if isinstance(value, Made):
        if value.name in ("column", "Column", "attribute") and value.args and isinstance(value.args[0], str):
            return value.args[0]
        if isinstance(value.source, Made) and value.name not in ("c", "columns"):
            return column_name(value.source)
        if value.name in ("lower", "upper", "cast", "desc", "asc") and value.args:
            return column_name(value.args[0])
    return None


_FEW = ir.Filter(selects="few")
_BATCH = ir.Filter(selects="batch", by_key=True)


def filter_of(conditions: list[Any]) -> ir.Filter:
    """Tell how much the conditions of a ``where()`` let through, all of them together."""
    best = ir.Filter()
    signs: dict[str, set[str]] = {}
    for each in conditions:
        if (
            isinstance(each, Compared)
            and each.operator[:1] in "<>"
            and each.operator != "<>"
            and (name := column_name(each.left))
        ):
            signs.setdefault(name, set()).add(each.operator[0])
        found = _one_filter(each)
        if ("few", "batch", "most").index(found.selects) < ("few", "batch", "most").index(best.selects) or (
            found.by_key and found.selects == best.selects
        ):
            best = found
    if best.selects == "most" and any(len(each) > 1 for each in signs.values()):
        return _BATCH
    return best


def _one_filter(condition: Any) -> ir.Filter:  # noqa: C901, PLR0911
    if isinstance(condition, Made) and condition.name in ("text", "and_", "or_"):
        if condition.name == "text":
            from sage_migrate.lint.sql import parse

            for parsed in parse(f"DELETE FROM t WHERE {as_text(condition)}"):  # noqa: S608  parsed, not run  # noqa: S608
                for action in parsed.actions:
                    if isinstance(action, ir.Delete):
                        return action.filter
            return ir.Filter()
        if condition.name == "and_":
            return filter_of(condition.args)
        return max(
            (_one_filter(each) for each in condition.args),
            key=lambda f: ("few", "batch", "most").index(f.selects),
            default=ir.Filter(),
        )
    if not isinstance(condition, Compared):
        return ir.Filter()
    if condition.operator == "and":
        return filter_of([condition.left, condition.right])
    if condition.operator == "between":
        return _BATCH
    name = column_name(condition.left)
    if (
        condition.operator in ("=", "in")
        and name
        and condition.right is not None
        and column_name(condition.right) is None
    ):
        query = condition.right
        if isinstance(query, Made) and query.name not in (
            "inline_literal",
            "bindparam",
            "literal",
            "cast",
            "text",
            "attribute",
        ):
            return _BATCH if "limit" in [each.name for each in chain(query)] else filter_of(conditions_of(query))
        from sage_migrate.lint.where import _is_key

        return ir.Filter(selects="few", by_key=_is_key(name))
    return ir.Filter()


def chain(made: Any) -> list[Made]:
    """Return the calls that made a construct, first to last."""
    found: list[Made] = []
    while isinstance(made, Made):
        found.append(made)
        made = made.source
    return found[::-1]


def conditions_of(made: Made) -> list[Any]:
    """Return all conditions of a construct."""
    found: list[Any] = []
    for each in chain(made):
        if each.name in ("where", "filter"):
            found += each.args
        elif each.name == "filter_by":
            found += [Compared("=", Made("column", [key]), value) for key, value in each.keywords.items()]
        elif each.name in ("update", "delete") and len(each.args) > 1 and isinstance(each.args[1], Compared):
            found.append(each.args[1])
    return found


def statement_of(made: Made) -> list[ir.Action] | None:  # noqa: C901, PLR0911  one branch a kind of statement
    """Return what executing a construct does; None where it is none that is known."""
    links = chain(made)
    root = links[0]
    if root.name in ("text", "DDL", "TextClause") or (root.name == "Name" and not root.args):
        return None
    kinds = [each.name for each in links]
    for kind in ("update", "delete", "insert"):
        position = kinds.index(kind) if kind in kinds else None
        if position is None:
            continue
        link = links[position]
        owner = link.args[0] if link.args and root is link else root
        if root.name == "query":
            owner = root.args[0] if root.args else None
        table = table_name(owner) if isinstance(owner, Made) and owner.name in ("Table", "table") else as_text(owner)
        limited = "limit" in kinds
        found = _BATCH if limited else filter_of(conditions_of(made))
        if kind == "update":
            values = next((each for each in links if each.name == "values"), link)
            given = values.args[0] if values.args and isinstance(values.args[0], dict) else values.keywords
            columns = tuple(column_name(key) or as_text(key) for key in given) if isinstance(given, dict) else ()
            return [ir.Update(table=table, columns=columns, filter=found)]
        if kind == "delete":
            return [ir.Delete(table=table, filter=found)]
        source = next((each.args[1] for each in links if each.name == "from_select" and len(each.args) > 1), None)
        return [ir.Insert(table=table, copies=query_of(source) if isinstance(source, Made) else None)]
    if root.name in ("select", "query", "exists"):
        query = query_of(made)
        return [ir.Select(table=query.tables[0], query=query)] if query.tables else []
    if root.name in ("CreateSequence", "DropSequence", "CreateSchema", "SetColumnComment", "literal_column", "func"):
        return []
    if root.name == "DropTable" and root.args:
        return [ir.DropTable(table=table_name(root.args[0]))]
    if root.name == "CreateTable" and root.args and isinstance(root.args[0], Made):
        return [create_table(root.args[0])]
    return None


def query_of(made: Made) -> ir.Query:
    """Return what a ``select()`` reads."""
    links = chain(made)
    found: list[str] = []
    for each in links:
        if each.name in ("select", "select_from", "query", "join", "outerjoin"):
            for value in _flat(each.args):
                table = _table_of(value)
                if table and table not in found:
                    found.append(table)
    kinds = [each.name for each in links]
    limited = ir.Filter(selects="batch", by_key=True) if "limit" in kinds else filter_of(conditions_of(made))
    return ir.Query(tables=tuple(found), filter=limited)


def _flat(values: list[Any]) -> Iterator[Any]:
    for each in values:
        if isinstance(each, (list, tuple)):
            yield from _flat(list(each))
        else:
            yield each


def _table_of(value: Any) -> str | None:
    while isinstance(value, Made):
        if value.name in ("Table", "table") and value.args:
            return table_name(value)
        value = (
            value.source
            if value.source is not None
            else (value.args[0] if value.args and isinstance(value.args[0], Made) else None)
        )
    return None


def create_table(made: Made) -> ir.CreateTable:
    """Return what ``op.create_table`` or ``Table.create`` makes."""
    columns, constraints = [], []
    for each in _flat(made.args[1:]):
        if isinstance(each, Made) and each.name == "Column":
            columns.append(read_column(each))
        elif isinstance(each, Made) and each.name.endswith("Constraint"):
            constraints.append(read_constraint(each))
    return ir.CreateTable(
        table=table_name(made.args[0] if made.args else None, made.keywords.get("schema")),
        columns=tuple(columns),
        constraints=tuple(constraints),
        partitioned="postgresql_partition_by" in made.keywords,
    )


def alter_type(table: str, column: str, keywords: dict[str, Any]) -> ir.AlterType:
    """Return what ``alter_column(type_=…)`` does."""
    using = keywords.get("postgresql_using")
    text = as_text(using) if using is not None and not isinstance(using, bool) else None
    return ir.AlterType(
        table=table,
        column=column,
        type=read_type(keywords.get("type_")),
        existing_type=read_type(keywords.get("existing_type")),
        using=text,
        shortens=_shortens(text) if text else False,
    )


def _shortens(text: str) -> bool:
    from sage_migrate.lint.sql import parse_expression
    from sage_migrate.lint.where import length_cut

    return length_cut(parse_expression(text))
