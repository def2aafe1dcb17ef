"""The scopes of a module and what binds which name in each."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sage_migrate.lint.project.module import Module

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

Kind = Literal["import", "function", "class", "assigned", "entered", "iterated", "parameter", "other"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Binding:
    """One place that gives a name its meaning."""

    name: str
    kind: Kind
    node: ast.AST
    scope: "Scope"
    value: ast.expr | None = None
    """What is assigned, entered by `with`, or iterated by `for`; a parameter's default."""
    annotation: ast.expr | None = None
    unpacked: tuple[int, ...] = ()
    """Where the name stands in a tuple on the left; empty when it takes the whole value."""
    imported: tuple[str, str | None, int] = ("", None, 0)
    """Of an import: the module, the name in it (None: the module itself), and the dots before it."""

    @property
    def line(self) -> int:
        """Where it stands."""
        return getattr(self.node, "lineno", 1)


@dataclass(kw_only=True, slots=True, eq=False)
class Scope:
    """A module, class, function, lambda or comprehension, and the names bound in it."""

    module: "Module"
    node: ast.AST
    parent: "Scope | None"
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[tuple[str, int]] = field(default_factory=list)
    """Modules of `from … import *`, with their dots."""
    elsewhere: dict[str, "Scope"] = field(default_factory=dict)
    """Names declared global or nonlocal."""

    def lookup(self, name: str) -> list[Binding]:
        """Return the bindings of ``name`` that code in this scope sees, in the order of the file."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.bindings.get(name)
            # A class's names are seen by its own statements, not by its methods.
            if found and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return found
            scope = scope.parent
        return []

    @property
    def function(self) -> "Scope | None":
        """The innermost function around, this one included."""
        scope: Scope | None = self
        while scope is not None and not isinstance(scope.node, Function):
            scope = scope.parent
        return scope


@dataclass(frozen=True, slots=True)
class Scopes:
    """Of one module: the scope around each node, the one that a node opens, and what each node is part of."""

    owner: dict[ast.AST, Scope]
    inner: dict[ast.AST, Scope]
    parents: dict[ast.AST, ast.AST]


def read_scopes(module: "Module") -> Scopes:
    """Return the scopes of ``module``. Trees may be deep: the way through them is a stack, not recursion."""
    top = Scope(module=module, node=module.tree, parent=None)
    found = Scopes(owner={module.tree: top}, inner={module.tree: top}, parents={})
    stack: list[tuple[ast.AST, Scope]] = [(module.tree, top)]
    while stack:
        node, scope = stack.pop()
        found.owner[node] = scope
        bound_in = scope
        inside = scope
        if isinstance(node, (*_SCOPES, *_COMPREHENSIONS)):
            inside = found.inner[node] = Scope(module=module, node=node, parent=scope)
        for binding in _bindings(node, bound_in, inside):
            target = binding.scope.elsewhere.get(binding.name, binding.scope)
            target.bindings.setdefault(binding.name, []).append(binding)
        if isinstance(node, ast.Global):
            inside.elsewhere.update(dict.fromkeys(node.names, top))
        elif isinstance(node, ast.Nonlocal) and scope.parent is not None:
            inside.elsewhere.update({name: _enclosing(scope.parent, name) for name in node.names})
        children = [(child, inside if _is_inside(node, name) else scope) for name, child in _children(node)]
        for child, _ in children:
            found.parents[child] = node
        stack.extend(reversed(children))
    return found


def _enclosing(scope: Scope, name: str) -> Scope:
    around: Scope | None = scope
    while around is not None:
        if name in around.bindings:
            return around
        around = around.parent
    return scope


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            if not isinstance(value, (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)):
                yield name, value
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, ast.AST) and not isinstance(each, ast.cmpop):
                    yield name, each


def _is_inside(node: ast.AST, field_name: str) -> bool:
    """Tell whether a part of ``node`` belongs to the scope that it opens: decorators, defaults and bases do not."""
    return isinstance(node, _COMPREHENSIONS) or (isinstance(node, _SCOPES) and field_name == "body")


def _bindings(node: ast.AST, around: Scope, inside: Scope) -> Iterator[Binding]:  # noqa: C901, PLR0912  the ways to bind a name
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield Binding(name=node.name, kind="function", node=node, scope=around)
            yield from _parameters(node.args, inside)
        case ast.Lambda():
            yield from _parameters(node.args, inside)
        case ast.ClassDef():
            yield Binding(name=node.name, kind="class", node=node, scope=around)
        case ast.Import():
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                source = alias.name if alias.asname else name
                yield Binding(name=name, kind="import", node=node, scope=around, imported=(source, None, 0))
        case ast.ImportFrom():
            for alias in node.names:
                if alias.name == "*":
                    around.stars.append((node.module or "", node.level))
                else:
                    imported = (node.module or "", alias.name, node.level)
                    name = alias.asname or alias.name
                    yield Binding(name=name, kind="import", node=node, scope=around, imported=imported)
        case ast.Assign():
            for target in node.targets:
                yield from _targets(target, "assigned", node, node.value, around)
        case ast.AnnAssign():
            if isinstance(node.target, ast.Name):
                yield Binding(
                    name=node.target.id,
                    kind="assigned",
                    node=node,
                    scope=around,
                    value=node.value,
                    annotation=node.annotation,
                )
        case ast.NamedExpr(target=ast.Name(id=name)):
            while isinstance(around.node, _COMPREHENSIONS) and around.parent is not None:
                around = around.parent
            yield Binding(name=name, kind="assigned", node=node, scope=around, value=node.value)
        case ast.With() | ast.AsyncWith():
            for item in node.items:
                if item.optional_vars is not None:
                    yield from _targets(item.optional_vars, "entered", node, item.context_expr, around)
        case ast.For() | ast.AsyncFor():
            yield from _targets(node.target, "iterated", node, node.iter, around)
        case ast.comprehension():
            yield from _targets(node.target, "iterated", node, node.iter, around)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield Binding(name=name, kind="other", node=node, scope=around)
        case ast.MatchMapping(rest=str(name)):
            yield Binding(name=name, kind="other", node=node, scope=around)
        case _:
            pass


def _parameters(arguments: ast.arguments, scope: Scope) -> Iterator[Binding]:
    positional = [*arguments.posonlyargs, *arguments.args]
    without = len(positional) - len(arguments.defaults)
    defaults = [*([None] * without), *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True):
        yield Binding(
            name=argument.arg,
            kind="parameter",
            node=argument,
            scope=scope,
            value=default,
            annotation=argument.annotation,
        )
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield Binding(name=rest.arg, kind="other", node=rest, scope=scope)


def _targets(  # noqa: PLR0913, PLR0917  it calls itself
    target: ast.expr, kind: Kind, node: ast.AST, value: ast.expr, scope: Scope, unpacked: tuple[int, ...] = ()
) -> Iterator[Binding]:
    if isinstance(target, ast.Name):
        yield Binding(name=target.id, kind=kind, node=node, scope=scope, value=value, unpacked=unpacked)
    elif isinstance(target, ast.Starred):
        yield from _targets(target.value, "other", node, value, scope, unpacked)
    elif isinstance(target, (ast.Tuple, ast.List)):
        for position, each in enumerate(target.elts):
            yield from _targets(each, kind, node, value, scope, (*unpacked, position))
