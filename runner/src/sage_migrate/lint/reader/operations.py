"""Takes the calls that a revision makes of Alembic, SQLAlchemy and its connection, and writes down the statements they send."""

import ast
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sage_migrate.lint import statements as ir
from sage_migrate.lint.reader import constructs
from sage_migrate.lint.reader.constructs import table_name
from sage_migrate.lint.reader.evaluation import Evaluation, TooLongError, as_text
from sage_migrate.lint.reader.values import (
    UNKNOWN_VALUE,
    Batch,
    BoundConnection,
    Compared,
    Function,
    Made,
    Name,
    Unknown,
    is_unknown,
)

_SENDS = frozenset(("execute", "exec_driver_sql", "scalar", "scalars", "execute_sql", "exec"))
_TELLS = frozenset(
    (
        "debug",
        "info",
        "warning",
        "warn",
        "error",
        "exception",
        "critical",
        "log",
        "print",
        "echo",
        "secho",
        "basicConfig",
    )
)
_STANDARD = frozenset(
    [
        "builtins",
        "os",
        "sys",
        "re",
        "json",
        "datetime",
        "uuid",
        "logging",
        "typing",
        "pathlib",
        "textwrap",
        "time",
        "math",
        "random",
        "hashlib",
        "collections",
        "itertools",
        "functools",
        "string",
        "base64",
        "decimal",
        "enum",
        "dataclasses",
        "copy",
        "warnings",
        "contextlib",
        "abc",
        "secrets",
        "inspect",
        "urllib",
        "csv",
        "io",
        "zoneinfo",
        "pytz",
        "operator",
        "alembic",
        "sqlalchemy",
        "sqlmodel",
        "structlog",
        "loguru",
        "tqdm",
        "click",
        "rich",
    ]
)
_PACKAGES = (
    "sqlalchemy",
    "sqlmodel",
    "geoalchemy2",
    "sqlalchemy_utils",
    "pgvector",
    "alembic.operations.ops",
    "advanced_alchemy",
    "fastapi_users_db_sqlalchemy",
)


class Operations:
    """The statements that one revision sends, in order."""

    def __init__(self, path: Path) -> None:
        """Read the revision at ``path``."""
        self.path = path
        self.statements: list[ir.Statement] = []
        self.evaluation = Evaluation(path, self)
        self._silent = 0
        self._autocommit = 0
        self._transaction = 0
        self._committed_by_hand = False
        self._calls: list[ast.AST | None] = []

    def run(self, tree: ast.Module, function: str = "upgrade") -> list[ir.Statement]:
        """Return what ``function`` of the module sends."""
        try:
            scope = self.evaluation.module_scope(tree, self.path)
            upgrade = scope.names.get(function)
            if isinstance(upgrade, Function):
                self.evaluation.location = upgrade.node
                self.evaluation.call_function(upgrade, [], {})
        except TooLongError:
            self.note("this revision is too long to be followed to its end")
        except RecursionError:
            self.note("this revision is nested too deeply to be followed")
        except Exception as error:  # noqa: BLE001  left by return, break or an oddity: what was read so far stands
            if type(error).__name__ not in ("Returned", "Left"):
                self.note(f"the reader gave up here ({type(error).__name__}: {error})")
        return self.statements

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Write nothing down: a module's top level runs when it is imported, not in the migration."""
        self._silent += 1
        try:
            yield
        finally:
            self._silent -= 1

    @contextlib.contextmanager
    def within(self, node: ast.AST | None, _path: str) -> Iterator[None]:
        """Remember who called."""
        self._calls.append(node)
        try:
            yield
        finally:
            self._calls.pop()

    # Writing down

    def send(
        self,
        actions: list[ir.Action],
        *,
        text: str = "",
        literals: set[str] | None = None,
        parts: int = 1,
        offset: int = 0,
    ) -> None:
        """Write down one statement."""
        if self._silent:
            return
        line, column, path = self._where()
        if not self._in_transaction:
            self._transaction += 1
        self.statements.append(
            ir.Statement(
                actions=actions,
                line=line + offset,
                column=column,
                path=path,
                in_transaction=self._in_transaction,
                transaction=self._transaction,
                repeated=self.evaluation.repeated > 0,
                conditional=self.evaluation.uncertain > 0,
                parts=parts,
                sql=text,
                literals=literals or set(),
            )
        )
        if not self._in_transaction:
            self._transaction += 1

    @property
    def _in_transaction(self) -> bool:
        return not self._autocommit and not self._committed_by_hand

    def note(self, why: str) -> None:
        """Write down that something was not understood."""
        self.send([ir.NotUnderstood(why=why)])

    def _where(self) -> tuple[int, int, str]:
        node = self.evaluation.location
        path = self.evaluation.scope_path()
        if path == str(self.path):
            return getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1, ""
        for caller in self._calls:
            if caller is not None:
                return getattr(caller, "lineno", 1), getattr(caller, "col_offset", 0) + 1, path
        return 1, 1, path

    def commit(self) -> None:
        """End the transaction; what a loop sent before it in the same turn is a transaction of its own."""
        for statement in self.statements:
            if statement.transaction == self._transaction and self.evaluation.repeated:
                statement.repeated = False
        self._transaction += 1

    def send_sql(self, text: Any) -> Any:
        """Write down the statements of a string."""
        if isinstance(text, Unknown) or (isinstance(text, str) and text.strip() == ir.UNKNOWN):
            self.note("the SQL that is executed here could not be told from the source")
            return UNKNOWN_VALUE
        if not isinstance(text, str):
            return UNKNOWN_VALUE
        from sage_migrate.lint.sql import parse

        parsed = parse(text)
        offsets = self._literal_lines()
        for each in parsed:
            if each.ends_transaction:
                self.commit()
                self._committed_by_hand = len(parsed) == 1 and not self._autocommit
                continue
            if each.begins_transaction:
                self._committed_by_hand = False
                self._transaction += 1
                continue
            if not each.actions and not each.literals:
                continue
            self.evaluation.repeated += each.loops
            self.send(
                list(each.actions),
                text=each.text,
                literals=each.literals,
                parts=len(parsed),
                offset=each.line if offsets else 0,
            )
            self.evaluation.repeated -= each.loops
        return UNKNOWN_VALUE

    def _literal_lines(self) -> bool:
        """Tell whether the SQL's own lines are the file's: a literal that begins on the line of the call."""
        node = self.evaluation.location
        if not isinstance(node, ast.Call) or not node.args:
            return False
        first = node.args[0]
        if isinstance(first, ast.Call) and first.args:
            first = first.args[0]
        return (
            isinstance(first, (ast.Constant, ast.JoinedStr))
            and first.lineno == node.lineno
            and (first.end_lineno or 0) > first.lineno
        )

    def execute(self, what: Any) -> Any:
        """Write down what executing ``what`` sends."""
        if isinstance(what, str):
            return self.send_sql(what)
        if isinstance(what, Made):
            root = constructs.chain(what)[0]
            if root.name in ("text", "DDL", "TextClause", "SQL"):
                return self.send_sql(root.args[0] if root.args else UNKNOWN_VALUE)
            actions = constructs.statement_of(what)
            if actions is None:
                self.note("this construct of SQLAlchemy's is not one that the reader knows")
            else:
                self.send(actions)
            return Made("Row", [_table(actions)]) if actions and isinstance(actions[0], ir.Select) else UNKNOWN_VALUE
        if isinstance(what, (Unknown, Name, Compared)):
            self.note("what is executed here could not be told from the source")
        return UNKNOWN_VALUE

    # What the evaluation asks

    def enter(self, value: Any) -> tuple[Any, Callable[[], None]]:
        """Enter a ``with``; return what ``as`` gets, and what to do at its end."""
        if isinstance(value, BoundConnection) and value.kind == "autocommit_block":
            self._transaction += 1
            self._autocommit += 1

            def leave() -> None:
                self._autocommit -= 1
                self._transaction += 1

            return None, leave
        if isinstance(value, BoundConnection) and value.kind == "transaction":
            return BoundConnection("connection", autocommit=value.autocommit), lambda: None
        return value, lambda: None

    def attribute(self, target: BoundConnection | Batch, name: str) -> Any:
        """Return an attribute of a connection, context or batch."""
        if isinstance(target, Batch):
            return UNKNOWN_VALUE
        if target.kind == "dialect" and name in ("name", "dialect_name"):
            return "postgresql"
        if name == "dialect":
            return BoundConnection("dialect")
        if name in ("bind", "connection", "engine", "sync_connection", "impl"):
            return BoundConnection("connection", autocommit=target.autocommit)
        return UNKNOWN_VALUE

    def method(self, target: BoundConnection | Batch, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911
        """Call a method of a connection, session, context or batch."""
        if isinstance(target, Batch):
            return self._batch(target, name, args, keywords)
        if name == "autocommit_block":
            return BoundConnection("autocommit_block")
        if name in _SENDS:
            what = args[0] if args else keywords.get("statement", keywords.get("sqltext", UNKNOWN_VALUE))
            self._autocommit += target.autocommit
            try:
                return self.execute(what)
            finally:
                self._autocommit -= target.autocommit
        if name == "commit":
            self.commit()
        if name == "query":
            return Made("query", args)
        if name in (
            "execution_options",
            "connect",
            "begin",
            "begin_nested",
            "get_bind",
            "connection",
            "raw_connection",
            "cursor",
            "run_sync",
        ):
            autocommit = target.autocommit or keywords.get("isolation_level") == "AUTOCOMMIT"
            if name == "run_sync" and args and isinstance(args[0], Function):
                return self.evaluation.call_function(args[0], [BoundConnection("connection"), *args[1:]], keywords)
            return BoundConnection("connection", autocommit=autocommit)
        if name in (
            "add",
            "add_all",
            "merge",
            "bulk_save_objects",
            "bulk_insert_mappings",
            "flush",
            "close",
            "rollback",
            "expire_all",
        ):
            return UNKNOWN_VALUE
        if name == "delete" and args and isinstance(args[0], Made) and args[0].name == "Row":
            self.send([ir.Delete(table=as_text(args[0].args[0]), filter=ir.Filter(selects="few", by_key=True))])
        return UNKNOWN_VALUE

    def made_method(self, target: Made, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911
        """Call a method of a construct of SQLAlchemy's."""
        if target.name == "Row":
            return (
                target
                if name in ("fetchall", "all", "mappings", "scalars", "yield_per", "partitions", "tuples")
                else UNKNOWN_VALUE
            )
        if name == "create_all":
            self.send([ir.CreateAll()])
            return UNKNOWN_VALUE
        if name in ("create", "drop") and (args or keywords):
            return self._create_or_drop(target, name)
        if name in ("in_", "between", "like", "ilike", "is_", "isnot", "is_not", "any_", "op"):
            operator = {"in_": "in", "between": "between"}.get(name, name)
            return Compared(operator, target, args[0] if args else None)
        if target.name == "sessionmaker" or name == "scoped_session":
            return BoundConnection("session")
        links = [each.name for each in constructs.chain(target)]
        if links[0] == "query" and name in ("update", "delete"):
            made = Made(name, args, keywords, source=target)
            self.send(constructs.statement_of(made) or [])
            return UNKNOWN_VALUE
        if links[0] == "query" and name in (
            "all",
            "first",
            "one",
            "scalar",
            "count",
            "yield_per",
            "one_or_none",
            "get",
        ):
            actions = constructs.statement_of(target)
            self.send(actions or [])
            many = name in ("all", "yield_per")
            return Made("Row", [_table(actions)], {"many": True}) if many else UNKNOWN_VALUE
        if target.name in ("Expression", "instance"):
            return UNKNOWN_VALUE
        if name in ("label", "as_string"):
            return target
        return Made(name, args, keywords, source=target)

    def row_written(self, row: Made, column: str) -> None:
        """Write down the UPDATE that a change of an ORM object's attribute becomes."""
        self.send(
            [ir.Update(table=as_text(row.args[0]), columns=(column,), filter=ir.Filter(selects="few", by_key=True))]
        )

    def _create_or_drop(self, target: Made, name: str) -> Any:
        if target.name in ("Enum", "ENUM"):
            if name == "create":
                type_ = constructs.read_type(target)
                self.send([ir.CreateEnum(table=type_.name if type_ else "", values=type_.values if type_ else ())])
        elif target.name == "Table":
            self.send([constructs.create_table(target) if name == "create" else ir.DropTable(table=table_name(target))])
        elif target.name == "Index" and target.args:
            columns = target.args[1:]
            table = next((t for each in columns if (t := constructs._table_of(each))), ir.UNKNOWN)  # noqa: SLF001
            if name == "create":
                self.send(
                    [
                        ir.CreateIndex(
                            table=table,
                            name=as_text(target.args[0]),
                            columns=constructs.names(columns),
                            unique=target.keywords.get("unique") is True,
                        )
                    ]
                )
            else:
                self.send([ir.DropIndex(table=table, name=as_text(target.args[0]))])
        return UNKNOWN_VALUE

    def unknown_method(self, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:
        """Call a method of a value that is not known; one that executes SQL is taken for a connection's."""
        if name == "create_all":
            self.send([ir.CreateAll()])
        elif name in _SENDS and args and (isinstance(args[0], Made) or (isinstance(args[0], str) and " " in args[0])):
            return self.execute(args[0])
        elif name == "autocommit_block":
            return BoundConnection("autocommit_block")
        elif any(isinstance(each, (BoundConnection, Batch)) for each in [*args, *keywords.values()]) and name not in (
            "configure",
            "create",
            "drop",
            "set_session",
        ):
            self.note(f"what {name}() does with the connection could not be followed")
        return UNKNOWN_VALUE

    def unknown_call(self, spelled: str, args: list[Any], keywords: dict[str, Any]) -> Any:
        """Call something that is not known."""
        given = [*args, *keywords.values()]
        if any(
            isinstance(each, (BoundConnection, Batch)) or (isinstance(each, Name) and each.dotted == "alembic.op")
            for each in given
        ):
            self.note(f"what {spelled}() does with the connection could not be followed")
        return UNKNOWN_VALUE

    def call(self, function: Name, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: C901, PLR0911
        """Call something of another package's."""
        dotted, name = function.dotted, function.last
        if dotted.startswith("alembic.op."):
            if name in (
                "execute",
                "get_bind",
                "get_context",
                "f",
                "inline_literal",
                "batch_alter_table",
                "bulk_insert",
                "run_async",
            ):
                return self._plain(name, args, keywords)
            return self._operation(name, args, keywords)
        if dotted.startswith("alembic.context."):
            if name == "is_offline_mode":
                return False
            return BoundConnection("context") if name in ("get_context", "get_bind") else UNKNOWN_VALUE
        if name in (
            "Session",
            "AsyncSession",
            "sessionmaker",
            "scoped_session",
            "async_sessionmaker",
        ) and dotted.startswith(_PACKAGES):
            return (
                BoundConnection("session")
                if name.endswith("ession") and name != "scoped_session"
                else Made(name, args, keywords)
            )
        if name in ("create_engine", "engine_from_config") and dotted.startswith("sqlalchemy"):
            return UNKNOWN_VALUE
        if dotted in ("sqlalchemy.inspect", "sqlalchemy.engine.reflection.Inspector.from_engine"):
            return UNKNOWN_VALUE
        if ".func." in dotted or dotted.startswith("func."):
            return Made(name, args, keywords, source=Name(dotted.rpartition(".")[0]))
        if (
            dotted.startswith(_PACKAGES)
            or name in constructs.TYPES
            or name in ("DateTime", "TIMESTAMP", "Enum", "ENUM")
        ):
            return Made(name, args, keywords)
        if name == "create_all":
            self.send([ir.CreateAll()])
            return UNKNOWN_VALUE
        given = [*args, *keywords.values()]
        touches = any(
            isinstance(each, (BoundConnection, Batch)) or (isinstance(each, Name) and each.dotted == "alembic.op")
            for each in given
        )
        acts = self.evaluation.discarded is self.evaluation.location and name not in _TELLS
        if dotted.split(".")[0] not in _STANDARD and (touches or (acts and not self._silent)):
            self.note(f"what {dotted}() sends could not be followed: its source was not found")
        return UNKNOWN_VALUE

    def _plain(self, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911
        if name == "execute":
            return self.execute(args[0] if args else keywords.get("sqltext", UNKNOWN_VALUE))
        if name == "get_bind":
            return BoundConnection("connection")
        if name == "get_context":
            return BoundConnection("context")
        if name == "batch_alter_table":
            return Batch(
                table_name(
                    args[0] if args else keywords.get("table_name"),
                    keywords.get("schema", args[1] if len(args) > 1 else None),
                )
            )
        if name == "bulk_insert":
            self.send([ir.Insert(table=table_name(args[0] if args else None))])
            return UNKNOWN_VALUE
        if name == "run_async" and args and isinstance(args[0], Function):
            return self.evaluation.call_function(args[0], [BoundConnection("connection"), *args[1:]], keywords)
        return args[0] if args else UNKNOWN_VALUE

    def _batch(self, batch: Batch, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:
        if name in ("f", "execute", "get_bind", "get_context", "inline_literal", "bulk_insert"):
            return self._plain(name, args, keywords)
        first_is_name = name in (
            "create_index",
            "create_foreign_key",
            "create_unique_constraint",
            "create_check_constraint",
            "create_primary_key",
            "create_exclude_constraint",
            "drop_constraint",
            "drop_index",
        )
        table = batch.table
        if first_is_name:
            given = args or [keywords.pop("index_name", keywords.pop("constraint_name", None))]
            return self._operation(name, [given[0], table, *given[1:]], keywords)
        return self._operation(name, [table, *args], keywords)

    def _operation(self, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:
        reader = getattr(self, f"_op_{name}", None)
        if reader is None:
            self.note(f"op.{name}() is none of Alembic's own operations and could not be followed")
            return UNKNOWN_VALUE
        try:
            return reader(*args, **keywords)
        except TypeError:
            self.note(f"op.{name}() was called with arguments that could not be told apart")
        return UNKNOWN_VALUE

    # Alembic's operations, with its own names of arguments

    def _op_create_table(self, table_name: Any, *elements: Any, **keywords: Any) -> Any:
        made = Made("Table", [table_name, *elements], keywords)
        action = constructs.create_table(made)
        self.send([action])
        for column in action.columns:
            if column.index:
                self.send([ir.CreateIndex(table=action.table, name=None, columns=(column.name,))])
        return made

    def _op_drop_table(self, table_name: Any, **keywords: Any) -> None:
        self.send([ir.DropTable(table=constructs.table_name(table_name, keywords.get("schema")))])

    def _op_rename_table(self, old_table_name: Any, new_table_name: Any, schema: Any = None, **_: Any) -> None:
        self.send(
            [ir.RenameTable(table=table_name(old_table_name, schema), new_name=table_name(new_table_name, schema))]
        )

    def _op_add_column(
        self, table_name: Any, column: Any, *, schema: Any = None, inline_references: Any = None, **_: Any
    ) -> None:
        table = constructs.table_name(table_name, schema)
        if not isinstance(column, Made):
            self.note("the column that is added here could not be told from the source")
            return
        read = constructs.read_column(column)
        # Alembic writes the column, and then each of its constraints and its index as statements of their own.
        inline = tuple(c for c in read.constraints if inline_references is True and c.kind == "foreign key")
        self.send([ir.AddColumn(table=table, column=read.changed(constraints=inline, index=False))])
        for constraint in read.constraints:
            if constraint not in inline and constraint.kind != "primary key":
                self.send([ir.AddConstraint(table=table, constraint=constraint)])
        if read.index:
            self.send([ir.CreateIndex(table=table, name=None, columns=(read.name,))])

    def _op_drop_column(self, table_name: Any, column_name: Any, schema: Any = None, **_: Any) -> None:
        self.send([ir.DropColumn(table=constructs.table_name(table_name, schema), column=as_text(column_name))])

    def _op_alter_column(  # noqa: PLR0913, PLR0917  Alembic's own signature
        self,
        table_name: Any,
        column_name: Any,
        nullable: Any = None,
        server_default: Any = False,  # noqa: FBT002
        new_column_name: Any = None,
        type_: Any = None,
        **keywords: Any,
    ) -> None:
        table, column = constructs.table_name(table_name, keywords.get("schema")), as_text(column_name)
        if type_ is not None:
            self.send([constructs.alter_type(table, column, {**keywords, "type_": type_})])
        if nullable is not None and not is_unknown(nullable):
            default = keywords.get("existing_server_default") not in (None, False) or server_default not in (
                None,
                False,
            )
            self.send(
                [
                    ir.DropNotNull(table=table, column=column)
                    if nullable
                    else ir.SetNotNull(table=table, column=column, existing_default=default)
                ]
            )
        if server_default is not False:
            known = keywords.get("existing_nullable")
            self.send(
                [
                    ir.SetDefault(
                        table=table,
                        column=column,
                        dropped=server_default is None,
                        existing_not_null=None if known is None or is_unknown(known) else not known,
                    )
                ],
                literals={as_text(server_default).strip("'")},
            )
        if new_column_name is not None or keywords.get("name") is not None:
            self.send(
                [ir.RenameColumn(table=table, column=column, new_name=as_text(new_column_name or keywords.get("name")))]
            )

    def _op_create_index(
        self,
        index_name: Any,
        table_name: Any,
        columns: Any = (),
        *,
        schema: Any = None,
        unique: Any = False,
        **keywords: Any,
    ) -> None:
        self.send(
            [
                ir.CreateIndex(
                    table=constructs.table_name(table_name, schema),
                    name=as_text(index_name) if index_name is not None else None,
                    columns=constructs.names(columns),
                    unique=unique is True,
                    concurrently=keywords.get("postgresql_concurrently") is True,
                    method=as_text(keywords.get("postgresql_using", "btree")),
                    partial=keywords.get("postgresql_where") is not None,
                )
            ]
        )

    def _op_drop_index(self, index_name: Any, table_name: Any = None, schema: Any = None, **keywords: Any) -> None:
        table = constructs.table_name(table_name, schema) if table_name is not None else ""
        self.send(
            [
                ir.DropIndex(
                    table=table, name=as_text(index_name), concurrently=keywords.get("postgresql_concurrently") is True
                )
            ]
        )

    def _op_create_foreign_key(
        self,
        constraint_name: Any,
        source_table: Any,
        referent_table: Any,
        local_cols: Any = (),
        remote_cols: Any = (),
        **keywords: Any,
    ) -> None:
        constraint = ir.Constraint(
            kind="foreign key",
            name=_name(constraint_name),
            columns=constructs.names(local_cols),
            references=table_name(referent_table, keywords.get("referent_schema")),
            referred_columns=constructs.names(remote_cols),
            not_valid=keywords.get("postgresql_not_valid") is True,
        )
        self.send(
            [ir.AddConstraint(table=table_name(source_table, keywords.get("source_schema")), constraint=constraint)]
        )

    def _op_create_unique_constraint(
        self, constraint_name: Any, table_name: Any, columns: Any = (), *, schema: Any = None, **_: Any
    ) -> None:
        constraint = ir.Constraint(kind="unique", name=_name(constraint_name), columns=constructs.names(columns))
        self.send([ir.AddConstraint(table=constructs.table_name(table_name, schema), constraint=constraint)])

    def _op_create_primary_key(
        self, constraint_name: Any, table_name: Any, columns: Any = (), *, schema: Any = None, **_: Any
    ) -> None:
        constraint = ir.Constraint(kind="primary key", name=_name(constraint_name), columns=constructs.names(columns))
        self.send([ir.AddConstraint(table=constructs.table_name(table_name, schema), constraint=constraint)])

    def _op_create_check_constraint(
        self, constraint_name: Any, table_name: Any, condition: Any = None, *, schema: Any = None, **keywords: Any
    ) -> None:
        constraint = constructs.check(
            _name(constraint_name), condition, not_valid=keywords.get("postgresql_not_valid") is True
        )
        self.send([ir.AddConstraint(table=constructs.table_name(table_name, schema), constraint=constraint)])

    def _op_create_exclude_constraint(
        self, constraint_name: Any, table_name: Any, *_elements: Any, **keywords: Any
    ) -> None:
        constraint = ir.Constraint(kind="exclusion", name=_name(constraint_name))
        self.send(
            [ir.AddConstraint(table=constructs.table_name(table_name, keywords.get("schema")), constraint=constraint)]
        )

    def _op_drop_constraint(
        self, constraint_name: Any, table_name: Any, type_: Any = None, *, schema: Any = None, **_: Any
    ) -> None:
        kind = (
            {"foreignkey": "foreign key", "primary": "primary key"}.get(type_, type_)
            if isinstance(type_, str)
            else None
        )
        self.send(
            [
                ir.DropConstraint(
                    table=constructs.table_name(table_name, schema), name=as_text(constraint_name), kind=kind
                )
            ]
        )

    def _op_create_table_comment(self, *_args: Any, **_keywords: Any) -> None:
        """Comment on a table: nobody waits for that."""

    _op_drop_table_comment = _op_create_table_comment
    _op_create_comment = _op_create_table_comment


def _name(value: Any) -> str | None:
    return None if value is None else as_text(value)


def _table(actions: list[ir.Action] | None) -> str:
    return actions[0].table if actions else ir.UNKNOWN


def read_revision(path: Path, tree: ast.Module, function: str = "upgrade") -> list[ir.Statement]:
    """Return the statements that a revision's function sends."""
    return Operations(path).run(tree, function)
