"""Evaluates a revision's ``upgrade()``: constants, loops over literals, conditionals, functions; calls go to ``operations``."""

import ast
import builtins
import operator
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from sage_migrate.lint.reader.modules import find_module, parse_module
from sage_migrate.lint.reader.values import (
    UNKNOWN_VALUE,
    Batch,
    BoundConnection,
    Compared,
    Function,
    Imported,
    Made,
    Name,
    Scope,
    Unknown,
    is_unknown,
)
from sage_migrate.lint.statements import UNKNOWN

# A history's revisions are short; what takes more steps than this is left with a note.
_STEPS = 100_000
_DEPTH = 25
_TURNS = 500
# A function that calls itself twice would be followed two to the power of the depth times.
_RECURSION = 3
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}
_COMPARE: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("=", operator.eq),
    ast.NotEq: ("<>", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.In: ("in", lambda a, b: a in b),
    ast.NotIn: ("not in", lambda a, b: a not in b),
    ast.Is: ("=", operator.is_),
    ast.IsNot: ("<>", operator.is_not),
}
_PURE = frozenset(
    [
        "len",
        "range",
        "enumerate",
        "zip",
        "sorted",
        "reversed",
        "list",
        "tuple",
        "dict",
        "set",
        "frozenset",
        "str",
        "int",
        "float",
        "bool",
        "min",
        "max",
        "sum",
        "any",
        "all",
        "abs",
        "repr",
        "isinstance",
    ]
)
_STRING_METHODS = frozenset(
    [
        "format",
        "join",
        "strip",
        "lstrip",
        "rstrip",
        "upper",
        "lower",
        "replace",
        "split",
        "splitlines",
        "startswith",
        "endswith",
        "title",
        "capitalize",
        "items",
        "keys",
        "values",
        "get",
        "copy",
        "index",
        "count",
        "partition",
        "rpartition",
        "removeprefix",
        "removesuffix",
        "zfill",
        "isdigit",
        "casefold",
    ]
)
_CHANGING = frozenset(["append", "extend", "update", "add", "insert", "pop", "setdefault", "remove"])


class Returned(Exception):  # noqa: N818  control flow, no error
    """A ``return`` was reached."""

    def __init__(self, value: Any) -> None:
        """Carry the value."""
        self.value = value


class Left(Exception):  # noqa: N818  control flow, no error
    """A ``break``, ``continue`` or ``raise`` was reached."""


class TooLongError(Exception):
    """The evaluation took too many steps."""


class Evaluation:
    """Follows one revision. What it calls of Alembic and SQLAlchemy is given to ``calls``."""

    def __init__(self, path: Path, calls: Any) -> None:
        """Start with the file ``path``; ``calls`` is the receiver of calls into other packages."""
        self.path, self.calls = path, calls
        self.modules: dict[Path, Scope] = {}
        self.depth = self.steps = 0
        self.active: list[ast.AST] = []
        """The functions that are being called, outermost first."""
        self.uncertain = 0
        """How many conditions that nobody knows the code at hand stands under."""
        self.repeated = 0
        self.location: ast.AST | None = None
        self.discarded: ast.AST | None = None
        """The call whose value nobody takes: it is made for what it does."""
        self.scope = Scope({})

    def module_scope(self, tree: ast.Module, path: Path) -> Scope:
        """Evaluate a module's top level once and return its names."""
        if path in self.modules:
            return self.modules[path]
        scope = self.modules[path] = Scope({"__file__": str(path), "__name__": path.stem}, path=str(path))
        outer, self.scope = self.scope, scope
        try:
            with self.calls.silent():
                self.block(tree.body)
        except (Returned, Left):
            pass
        finally:
            self.scope = outer
        return scope

    # Statements

    def block(self, body: list[ast.stmt]) -> None:
        """Evaluate statements one after the other."""
        for statement in body:
            self.steps += 1
            if self.steps > _STEPS:
                raise TooLongError
            getattr(self, f"_s_{type(statement).__name__}", self._nothing)(statement)

    def _nothing(self, _node: ast.stmt) -> None:
        pass

    def _s_Expr(self, node: ast.Expr) -> None:  # noqa: N802
        self.discarded = node.value
        self.value(node.value)

    def _s_Assign(self, node: ast.Assign) -> None:  # noqa: N802
        value = self.value(node.value)
        for target in node.targets:
            self._assign(target, value)

    def _s_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if node.value is not None:
            self._assign(node.target, self.value(node.value))

    def _s_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        left = self.value(node.target)
        right = self.value(node.value)
        self._assign(node.target, self._binary(type(node.op), left, right))

    def _assign(self, target: ast.AST, value: Any) -> None:
        if isinstance(target, ast.Name):
            # Under a condition that nobody knows, both values are possible: keep the one that is known.
            self.scope.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = list(value) if isinstance(value, (list, tuple)) and len(value) == len(target.elts) else None
            for position, each in enumerate(target.elts):
                self._assign(
                    each.value if isinstance(each, ast.Starred) else each, values[position] if values else UNKNOWN_VALUE
                )
        elif isinstance(target, ast.Subscript):
            container, key = self.value(target.value), self.value(target.slice)
            if isinstance(container, dict) and not is_unknown(key):
                container[_hashable(key)] = value
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.value)
            if isinstance(owner, Made) and owner.name == "Row":
                self.location = target
                self.calls.row_written(owner, target.attr)
            elif isinstance(owner, Made) and owner.name == "instance":
                owner.keywords[target.attr] = value

    def _s_FunctionDef(self, node: ast.FunctionDef) -> None:  # noqa: N802
        self.scope.names[node.name] = Function(node, self.scope)

    def _s_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:  # noqa: N802
        self.scope.names[node.name] = Function(node, self.scope)

    def _s_ClassDef(self, node: ast.ClassDef) -> None:  # noqa: N802
        names: dict[str, Any] = {}
        for base in reversed([self.value(each) for each in node.bases]):
            if isinstance(base, Made) and base.name == "class":
                names.update(base.keywords)
        outer, self.scope = self.scope, Scope(names, self.scope, self.scope.path)
        try:
            self.block(node.body)
        except (Returned, Left):
            pass
        finally:
            self.scope = outer
        table = names.get("__tablename__")
        if isinstance(names.get("__table__"), Made):
            self.scope.names[node.name] = names["__table__"]
        elif isinstance(table, str):
            self.scope.names[node.name] = Made("Table", [table], {})
        else:
            self.scope.names[node.name] = Made("class", [node.name], names)

    def _s_Import(self, node: ast.Import) -> None:  # noqa: N802
        for each in node.names:
            name = each.name if each.asname else each.name.split(".")[0]
            self.scope.names[each.asname or name] = self._module(name)

    def _s_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        dotted = node.module or ""
        path = Path(self.scope_path())
        if node.level:
            base = path
            for _ in range(node.level):
                base = base.parent
            file = base.joinpath(*dotted.split(".")) if dotted else base
            found = next((f for f in (file.with_suffix(".py"), file / "__init__.py") if f.is_file()), None)
        else:
            found = None if _third_party(dotted) else find_module(dotted, path)
        for each in node.names:
            name = each.asname or each.name
            full = f"{dotted}.{each.name}" if dotted else each.name
            if each.name == "*":
                scope = self._file_scope(found) if found else None
                if scope is not None:
                    self.scope.names.update({k: v for k, v in scope.names.items() if not k.startswith("_")})
            elif found is not None:
                self.scope.names[name] = Imported(found, each.name, full)
            else:
                self.scope.names[name] = self._module(full)

    def _file_scope(self, path: Path) -> Scope | None:
        tree = parse_module(path)
        if tree is None or self.depth >= _DEPTH:
            return None
        self.depth += 1
        try:
            return self.module_scope(tree, path)
        finally:
            self.depth -= 1

    def _follow(self, value: Any) -> Any:
        """Return what an imported name stands for."""
        for _ in range(_DEPTH):
            if not isinstance(value, Imported):
                return value
            scope = self._file_scope(value.file)
            if scope is None:
                return UNKNOWN_VALUE
            if value.name is None:
                return Made("module", [], scope.names)
            if value.name in scope.names:
                value = scope.names[value.name]
                continue
            submodule = value.file.parent / f"{value.name}.py" if value.file.name == "__init__.py" else None
            value = Imported(submodule, None, value.dotted) if submodule and submodule.is_file() else Name(value.dotted)
        return UNKNOWN_VALUE

    def _module(self, dotted: str) -> Any:
        if not _third_party(dotted):
            found = find_module(dotted, Path(self.scope_path()))
            if found is not None and found.name != "__init__.py" and found != self.path:
                return Imported(found, None, dotted)
        return Name(dotted)

    def scope_path(self) -> str:
        """Return the file that the code at hand stands in."""
        scope: Scope | None = self.scope
        while scope is not None:
            if scope.path:
                return scope.path
            scope = scope.outer
        return str(self.path)

    def _s_Return(self, node: ast.Return) -> None:  # noqa: N802
        raise Returned(self.value(node.value) if node.value else None)

    def _s_Break(self, _node: ast.Break) -> None:  # noqa: N802
        raise Left

    def _s_Continue(self, _node: ast.Continue) -> None:  # noqa: N802
        raise Left

    def _s_Raise(self, node: ast.Raise) -> None:  # noqa: N802
        if node.exc is not None:
            self.value(node.exc)
        raise Left

    def _s_Assert(self, node: ast.Assert) -> None:  # noqa: N802
        self.value(node.test)

    def _s_If(self, node: ast.If) -> None:  # noqa: N802
        truth = self._truth(self.value(node.test))
        if truth is not None:
            self.block(node.body if truth else node.orelse)
            return
        for body in (node.body, node.orelse):
            self._maybe(body)

    def _maybe(self, body: list[ast.stmt]) -> None:
        """Evaluate statements that may or may not be reached; what leaves them early ends only them."""
        self.uncertain += 1
        try:
            self.block(body)
        except (Returned, Left):
            pass
        finally:
            self.uncertain -= 1

    def _s_For(self, node: ast.For) -> None:  # noqa: N802
        over = self.value(node.iter)
        turns: list[Any] | None = None
        if isinstance(over, Mapping) or (isinstance(over, (list, tuple, set, range, str)) and len(over) <= _TURNS):
            turns = list(over)
        if turns is None:
            rows = isinstance(over, Made) and over.name == "Row"
            self._assign(node.target, Made("Row", over.args) if rows else UNKNOWN_VALUE)
            self._loop(node.body)
        else:
            for each in turns:
                self._assign(node.target, each)
                try:
                    self.block(node.body)
                except Left:
                    if _breaks(node.body):
                        break
        self.block(node.orelse)

    _s_AsyncFor = _s_For  # noqa: N815

    def _s_While(self, node: ast.While) -> None:  # noqa: N802
        self.value(node.test)
        self._loop(node.body)
        self.block(node.orelse)

    def _loop(self, body: list[ast.stmt]) -> None:
        self.repeated += 1
        try:
            self.block(body)
        except Left:
            pass
        finally:
            self.repeated -= 1

    def _s_With(self, node: ast.With) -> None:  # noqa: N802
        closers = []
        for item in node.items:
            self.location = item.context_expr
            value = self.value(item.context_expr)
            entered, closer = self.calls.enter(value)
            closers.append(closer)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, entered)
        try:
            self.block(node.body)
        finally:
            for closer in reversed(closers):
                closer()

    _s_AsyncWith = _s_With  # noqa: N815

    def _s_Try(self, node: ast.Try) -> None:  # noqa: N802
        try:
            self.block(node.body)
            self.block(node.orelse)
            for handler in node.handlers:
                self._maybe(handler.body)
        finally:
            self.block(node.finalbody)

    _s_TryStar = _s_Try  # noqa: N815

    def _s_Match(self, node: ast.Match) -> None:  # noqa: N802
        self.value(node.subject)
        for case in node.cases:
            self._maybe(case.body)

    # Expressions

    def value(self, node: ast.expr | None) -> Any:
        """Return the value of an expression."""
        if node is None:
            return None
        method = getattr(self, f"_v_{type(node).__name__}", None)
        return method(node) if method else UNKNOWN_VALUE

    def _truth(self, value: Any) -> bool | None:
        if isinstance(value, (list, tuple, dict, set)):
            return bool(value)
        return None if is_unknown(value) else bool(value)

    def _v_Constant(self, node: ast.Constant) -> Any:  # noqa: N802
        return node.value

    def _v_Name(self, node: ast.Name) -> Any:  # noqa: N802
        try:
            return self._follow(self.scope.look_up(node.id))
        except KeyError:
            return Name(f"builtins.{node.id}") if hasattr(builtins, node.id) else UNKNOWN_VALUE

    def _v_NamedExpr(self, node: ast.NamedExpr) -> Any:  # noqa: N802
        value = self.value(node.value)
        self._assign(node.target, value)
        return value

    def _v_Await(self, node: ast.Await) -> Any:  # noqa: N802
        return self.value(node.value)

    def _v_Starred(self, node: ast.Starred) -> Any:  # noqa: N802
        return self.value(node.value)

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for each in nodes:
            value = self.value(each)
            if isinstance(each, ast.Starred):
                values.extend(value if isinstance(value, (list, tuple, set)) else [UNKNOWN_VALUE])
            else:
                values.append(value)
        return values

    def _v_List(self, node: ast.List) -> Any:  # noqa: N802
        return self._elements(node.elts)

    def _v_Tuple(self, node: ast.Tuple) -> Any:  # noqa: N802
        return tuple(self._elements(node.elts))

    def _v_Set(self, node: ast.Set) -> Any:  # noqa: N802
        return self._elements(node.elts)

    def _v_Dict(self, node: ast.Dict) -> Any:  # noqa: N802
        made: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                other = self.value(value)
                if isinstance(other, dict):
                    made.update(other)
            else:
                made[_hashable(self.value(key))] = self.value(value)
        return made

    def _v_JoinedStr(self, node: ast.JoinedStr) -> Any:  # noqa: N802
        parts = []
        for each in node.values:
            if isinstance(each, ast.FormattedValue):
                value = self.value(each.value)
                if each.format_spec is not None and not is_unknown(value):
                    specification = self.value(each.format_spec)
                    try:
                        value = format(value, specification)
                    except (TypeError, ValueError):
                        value = UNKNOWN_VALUE
                parts.append(as_text(value))
            else:
                parts.append(as_text(self.value(each)))
        return "".join(parts)

    def _v_IfExp(self, node: ast.IfExp) -> Any:  # noqa: N802
        truth = self._truth(self.value(node.test))
        if truth is None:
            return self.value(node.body)
        return self.value(node.body if truth else node.orelse)

    def _v_BoolOp(self, node: ast.BoolOp) -> Any:  # noqa: N802
        is_and = isinstance(node.op, ast.And)
        value: Any = None
        unknown = False
        for each in node.values:
            value = self.value(each)
            truth = self._truth(value)
            if truth is None:
                unknown = True
            elif truth != is_and:
                return value
        return UNKNOWN_VALUE if unknown else value

    def _v_UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            truth = self._truth(value)
            return UNKNOWN_VALUE if truth is None else not truth
        if isinstance(node.op, ast.USub) and isinstance(value, (int, float)):
            return -value
        return (
            Compared("not", value, None)
            if isinstance(node.op, ast.Invert) and not isinstance(value, Unknown)
            else UNKNOWN_VALUE
        )

    def _v_BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802
        return self._binary(type(node.op), self.value(node.left), self.value(node.right))

    def _binary(self, kind: type, left: Any, right: Any) -> Any:  # noqa: PLR0911  one return a case  # noqa: PLR0911
        if kind is ast.Mod and isinstance(left, str):
            return _percent(left, right)
        if kind is ast.Add and (isinstance(left, str) or isinstance(right, str)):
            return as_text(left) + as_text(right)
        if kind is ast.Div and isinstance(left, PurePath):
            return left / as_text(right)
        if isinstance(left, Compared) or isinstance(right, Compared):
            return Compared("and" if kind is ast.BitAnd else "or" if kind is ast.BitOr else "?", left, right)
        if kind is ast.Add and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            return [*left, *right]
        if is_unknown(left) or is_unknown(right):
            return Compared("arithmetic", left, right) if isinstance(left, Made) else UNKNOWN_VALUE
        try:
            return _BINARY[kind](left, right) if kind in _BINARY else UNKNOWN_VALUE
        except (TypeError, ValueError, ZeroDivisionError, MemoryError, OverflowError):
            return UNKNOWN_VALUE

    def _v_Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        left = self.value(node.left)
        result: Any = True
        for kind, other in zip(node.ops, node.comparators, strict=True):
            right = self.value(other)
            sign, function = _COMPARE[type(kind)]
            if isinstance(left, Made) or isinstance(right, Made):
                return Compared(sign, left, right)
            if is_unknown(left) or is_unknown(right):
                return UNKNOWN_VALUE
            try:
                result = function(left, right)
            except TypeError:
                return UNKNOWN_VALUE
            if not result:
                return False
            left = right
        return result

    def _v_Subscript(self, node: ast.Subscript) -> Any:  # noqa: N802
        value, key = self.value(node.value), self.value(node.slice)
        if isinstance(value, (list, tuple, str)) and isinstance(key, (int, slice)):
            try:
                return value[key]
            except IndexError:
                return UNKNOWN_VALUE
        if isinstance(value, dict) and not is_unknown(key):
            return value.get(_hashable(key), UNKNOWN_VALUE)
        if isinstance(value, Made) and isinstance(key, str):
            return Made("column", [key], source=value)
        return UNKNOWN_VALUE

    def _v_Slice(self, node: ast.Slice) -> Any:  # noqa: N802
        parts = [self.value(each) for each in (node.lower, node.upper, node.step)]
        return UNKNOWN_VALUE if is_unknown(parts) else slice(*parts)

    def _v_Lambda(self, node: ast.Lambda) -> Any:  # noqa: N802
        return Function(node, self.scope)

    def _v_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Any:  # noqa: N802
        found: list[Any] = []
        known = self._comprehend(node.generators, lambda: found.append(self.value(node.elt)))
        return found if known else UNKNOWN_VALUE

    _v_SetComp = _v_ListComp  # noqa: N815
    _v_GeneratorExp = _v_ListComp  # noqa: N815

    def _v_DictComp(self, node: ast.DictComp) -> Any:  # noqa: N802
        found: dict[Any, Any] = {}
        known = self._comprehend(
            node.generators, lambda: found.update({_hashable(self.value(node.key)): self.value(node.value)})
        )
        return found if known else UNKNOWN_VALUE

    def _comprehend(self, generators: list[ast.comprehension], take: Callable[[], object]) -> bool:
        if not generators:
            take()
            return True
        first, *rest = generators
        over = self.value(first.iter)
        if not isinstance(over, (list, tuple, set, dict, range)) or len(over) > _TURNS:
            return False
        outer, self.scope = self.scope, Scope({}, self.scope)
        try:
            for each in over:
                self._assign(first.target, each)
                truths = [self._truth(self.value(test)) for test in first.ifs]
                if None in truths:
                    return False
                if all(truths) and not self._comprehend(rest, take):
                    return False
        finally:
            self.scope = outer
        return True

    def _v_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802, PLR0911
        value = self.value(node.value)
        if isinstance(value, Name):
            return Name(f"{value.dotted}.{node.attr}")
        if isinstance(value, Made):
            if value.name in ("module", "class"):
                return self._follow(value.keywords.get(node.attr, UNKNOWN_VALUE))
            if value.name == "Row":
                return UNKNOWN_VALUE
            if value.name == "instance":
                found = self._member(value, node.attr)
                return UNKNOWN_VALUE if found is None or isinstance(found, Function) else found
            return (
                Made(node.attr, source=value)
                if node.attr in ("c", "columns")
                else Made("attribute", [node.attr], source=value)
            )
        if isinstance(value, PurePath) and node.attr in ("parent", "name", "stem"):
            return getattr(value, node.attr)
        if isinstance(value, PurePath) and node.attr == "parents":
            return list(value.parents)
        if isinstance(value, (BoundConnection, Batch)):
            return self.calls.attribute(value, node.attr)
        return UNKNOWN_VALUE

    # Calls

    def _v_Call(self, node: ast.Call) -> Any:  # noqa: N802, C901, PLR0911
        self.steps += 1
        function = node.func
        args = self._elements(node.args)
        keywords: dict[str, Any] = {}
        for each in node.keywords:
            value = self.value(each.value)
            if each.arg is not None:
                keywords[each.arg] = value
            elif isinstance(value, dict):
                keywords.update({str(k): v for k, v in value.items()})
        if isinstance(function, ast.Attribute):
            target = self.value(function.value)
            method = function.attr
            if isinstance(target, (BoundConnection, Batch)):
                self.location = node
                return self.calls.method(target, method, args, keywords)
            if isinstance(target, Made) and target.name == "instance" and self._member(target, method) is not None:
                return self._call_method(target, method, args, keywords, node)
            if isinstance(target, Made) and target.name not in ("module", "class"):
                self.location = node
                return self.calls.made_method(target, method, args, keywords)
            if isinstance(target, Made):
                return self._call(self._follow(target.keywords.get(method, UNKNOWN_VALUE)), args, keywords, node)
            if isinstance(target, PurePath):
                return _path_method(target, method, args)
            if not isinstance(target, (Name, Unknown)):
                return _plain_method(target, method, args, keywords)
            if isinstance(target, Unknown):
                self.location = node
                return self.calls.unknown_method(method, args, keywords)
        return self._call(self.value(function), args, keywords, node)

    def _call(self, function: Any, args: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:  # noqa: PLR0911  one return a case  # noqa: PLR0911
        if isinstance(function, Function):
            return self.call_function(function, args, keywords, node)
        if isinstance(function, Name):
            package, _, name = function.dotted.rpartition(".")
            if package == "builtins":
                return self._builtin(name, args, keywords)
            if function.dotted in ("textwrap.dedent", "inspect.cleandoc") and args and isinstance(args[0], str):
                return textwrap.dedent(args[0])
            if function.dotted in ("pathlib.Path", "pathlib.PurePath") and not is_unknown(args):
                return PurePath(*map(str, args))
            if function.dotted.startswith("os.path.") and not is_unknown(args):
                return _os_path(name, args)
            self.location = node
            return self.calls.call(function, args, keywords)
        if isinstance(function, Made) and function.name == "class":
            return self._new(function, args, keywords, node)
        # A call into the unknown with our connection or op may send anything.
        self.location = node
        return self.calls.unknown_call(ast.unparse(node.func), args, keywords)

    def _new(self, cls: Made, args: list[Any], keywords: dict[str, Any], node: ast.Call) -> Made:
        """Evaluate the making of an object of one of the project's classes; its attributes are its keywords."""
        made = Made("instance", [cls], {})
        if isinstance(cls.keywords.get("__init__"), Function):
            self._call_method(made, "__init__", args, keywords, node)
        else:  # a dataclass
            made.keywords.update(keywords)
        return made

    def _member(self, instance: Made, name: str) -> Any:
        return next((each.keywords[name] for each in (instance, *instance.args) if name in each.keywords), None)

    def _call_method(self, instance: Made, name: str, args: list[Any], keywords: dict[str, Any], node: ast.Call) -> Any:
        method = self._member(instance, name)
        decorators = (
            []
            if not isinstance(method, Function) or isinstance(method.node, ast.Lambda)
            else [each.id for each in method.node.decorator_list if isinstance(each, ast.Name)]
        )
        first = [] if name in instance.keywords or "staticmethod" in decorators else [instance]
        return self._call(method, [*first, *args], keywords, node)

    def call_function(
        self, function: Function, args: list[Any], keywords: dict[str, Any], node: ast.AST | None = None
    ) -> Any:
        """Evaluate a call of one of the project's functions."""
        if self.depth >= _DEPTH or self.active.count(function.node) >= _RECURSION:
            return UNKNOWN_VALUE
        names = self._bind(function.node.args, args, keywords, function.scope)
        outer, self.scope = self.scope, Scope(names, function.scope)
        self.depth += 1
        self.active.append(function.node)
        repeated = self.repeated
        try:
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body)
            with self.calls.within(node, self.scope_path()):
                self.block(function.node.body)
        except Returned as returned:
            return returned.value
        finally:
            self.depth -= 1
            self.active.pop()
            self.repeated = repeated
            self.scope = outer
        return None

    def _bind(
        self, parameters: ast.arguments, args: list[Any], keywords: dict[str, Any], scope: Scope
    ) -> dict[str, Any]:
        outer, self.scope = self.scope, scope
        try:
            positional = [*parameters.posonlyargs, *parameters.args]
            names: dict[str, Any] = {}
            defaults = [self.value(each) for each in parameters.defaults]
            for parameter, default in zip(reversed(positional), reversed(defaults), strict=False):
                names[parameter.arg] = default
            for parameter, keyword_default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
                names[parameter.arg] = self.value(keyword_default) if keyword_default is not None else UNKNOWN_VALUE
        finally:
            self.scope = outer
        for parameter, value in zip(positional, args, strict=False):
            names[parameter.arg] = value
        if parameters.vararg:
            names[parameters.vararg.arg] = tuple(args[len(positional) :])
        known = {parameter.arg for parameter in [*positional, *parameters.kwonlyargs]}
        names.update({name: value for name, value in keywords.items() if name in known})
        if parameters.kwarg:
            names[parameters.kwarg.arg] = {name: value for name, value in keywords.items() if name not in known}
        for parameter in positional:
            names.setdefault(parameter.arg, UNKNOWN_VALUE)
        return names

    def _builtin(self, name: str, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911  one return a case  # noqa: PLR0911
        if name == "open" and args and isinstance(args[0], (str, PurePath)):
            return PurePath(str(args[0]))
        if name in ("list", "tuple", "sorted", "reversed", "enumerate", "zip", "dict", "set", "len") and all(
            isinstance(each, (list, tuple, dict, set, range, str)) for each in args
        ):
            try:
                result = getattr(builtins, name)(*args, **{k: v for k, v in keywords.items() if not is_unknown(v)})
            except Exception:  # noqa: BLE001  the code at hand may be wrong in any way
                return UNKNOWN_VALUE
            return result if isinstance(result, (int, dict, tuple)) else list(result)
        if name in _PURE and not is_unknown(args) and not is_unknown(keywords):
            try:
                result = getattr(builtins, name)(*args, **keywords)
            except Exception:  # noqa: BLE001
                return UNKNOWN_VALUE
            if name == "range" and len(result) > _TURNS:
                return UNKNOWN_VALUE
            return (
                list(result) if isinstance(result, Iterable) and not isinstance(result, (str, range, dict)) else result
            )
        return UNKNOWN_VALUE


def as_text(value: Any) -> str:
    """Return a value as it stands in a string that is put together."""
    if isinstance(value, Made):
        if value.name == "text" and value.args and isinstance(value.args[0], str):
            return value.args[0]
        if value.name in ("Table", "table") and value.args and isinstance(value.args[0], str):
            return value.args[0]
        if value.name in ("quoted_name", "conv") and value.args:
            return as_text(value.args[0])
    return UNKNOWN if is_unknown(value) else str(value)


def _percent(left: str, right: Any) -> str:
    values: Any
    if isinstance(right, dict):
        values = {str(key): as_text(value) for key, value in right.items()}
    elif isinstance(right, (list, tuple)):
        values = tuple(as_text(each) if not isinstance(each, (int, float)) else each for each in right)
    else:
        values = as_text(right) if not isinstance(right, (int, float)) else right
    try:
        return str(left % values)
    except (TypeError, ValueError, KeyError):
        return left


def _plain_method(target: Any, method: str, args: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: PLR0911  one return a case  # noqa: PLR0911
    if isinstance(target, str) and method in ("format", "join", "format_map"):
        if method == "join":
            parts = args[0] if args else None
            return target.join(map(as_text, parts)) if isinstance(parts, (list, tuple, dict, set)) else UNKNOWN
        try:
            return target.format(*map(as_text, args), **{key: as_text(value) for key, value in keywords.items()})
        except Exception:  # noqa: BLE001
            return target
    if method in _CHANGING and isinstance(target, (list, dict, set)):
        try:
            return getattr(target, method)(*args, **keywords)
        except Exception:  # noqa: BLE001
            return UNKNOWN_VALUE
    if method in _STRING_METHODS and not is_unknown(args):
        try:
            result = getattr(target, method)(*args, **keywords)
        except Exception:  # noqa: BLE001
            return UNKNOWN_VALUE
        return list(result) if method in ("items", "keys", "values") else result
    return UNKNOWN_VALUE


def _path_method(path: PurePath, method: str, args: list[Any]) -> Any:
    if method in ("resolve", "absolute", "expanduser"):
        return PurePath(Path(path).absolute())
    if method == "joinpath" and not is_unknown(args):
        return path.joinpath(*map(str, args))
    if method in ("with_name", "with_suffix") and not is_unknown(args):
        return getattr(path, method)(*args)
    if method in ("read_text", "read"):
        try:
            return Path(path).read_text()
        except (OSError, ValueError):
            return UNKNOWN_VALUE
    return UNKNOWN_VALUE


def _os_path(name: str, args: list[Any]) -> Any:
    paths = [str(each) for each in args]
    if name == "join" and paths:
        return str(PurePath(*paths))
    if name == "dirname" and paths:
        return str(PurePath(paths[0]).parent)
    if name in ("abspath", "realpath") and paths:
        return str(Path(paths[0]).absolute())
    return UNKNOWN_VALUE


def _breaks(body: list[ast.stmt]) -> bool:
    return any(isinstance(each, ast.Break) for statement in body for each in ast.walk(statement))


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _third_party(dotted: str) -> bool:
    return dotted.split(".", maxsplit=1)[0] in (
        "alembic",
        "sqlalchemy",
        "sqlmodel",
        "typing",
        "os",
        "pathlib",
        "textwrap",
        "datetime",
        "uuid",
        "json",
        "logging",
        "re",
        "collections",
    )
