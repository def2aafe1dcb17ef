"""What a class of a project is to SQLAlchemy: base, mixin or mapped; in which order it inherits, what it defines."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from sage_migrate.lint.models.calls import (
    called_name,
    is_flask_sqlalchemy,
    is_true,
    keyword,
    library_name,
    made_by,
    returned_values,
    unquoted,
)
from sage_migrate.lint.models.nodes import nodes_of
from sage_migrate.lint.project import Binding, External, Module, Project, Scope

RESERVED = ("metadata", "registry")
"""What the Declarative API keeps for itself."""

_ROOTS = frozenset(("DeclarativeBase", "DeclarativeBaseNoMeta"))
_GENERATORS = frozenset(("declarative_base", "automap_base", "generate_base"))
_MAPPING_DECORATORS = frozenset(("mapped", "mapped_as_dataclass", "as_declarative_base"))
_MAPPED = frozenset(("Mapped", "DynamicMapped", "WriteOnlyMapped"))
_COLUMNS = frozenset(("mapped_column", "Column", "deferred", "column_property", "query_expression"))
_RELATED = frozenset(
    (
        *("relationship", "Relationship", "dynamic_loader", "synonym", "composite", "association_proxy"),
        *("hybrid_property", "column_keyed_dict"),
    )
)
_OBJECTS = frozenset(("MetaData", "registry"))
# Bases that say nothing about tables.
_NEUTRAL = frozenset(("pydantic", "typing_extensions", "sqlalchemy", *sys.stdlib_module_names))

Kind = Literal["column", "related", "field", "other", "none", "object", "annotation", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attribute:
    """One name that the body of a class defines."""

    name: str
    owner: "ModelClass"
    node: ast.stmt
    kind: Kind
    """`object`: the MetaData or registry that belongs under a reserved name; `field`: annotated, but not mapped so."""
    annotation: ast.expr | None = None
    value: ast.expr | None = None

    @property
    def is_mapped(self) -> bool:
        """Whether SQLAlchemy maps it."""
        return self.kind in ("column", "related")


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedBase:
    """A base class that a call makes: ``declarative_base()`` and its kind."""

    call: ast.Call
    scope: Scope
    maker: str


class ModelClass:
    """A class of the project."""

    def __init__(self, node: ast.ClassDef, module: Module, models: "Models") -> None:
        """Note where it is; everything else is found when somebody asks."""
        self.node = node
        self.module = module
        self.models = models
        self.name = node.name

    @property
    def scope(self) -> Scope:
        """The scope of its body."""
        return self.module.scope_of(self.node)

    @cached_property
    def bases(self) -> "tuple[Ancestor, ...]":
        """What stands between the parentheses; None is what nobody knows."""
        around = self.module.scope_around(self.node)
        return tuple(self.models.base(each, around) for each in self.node.bases if not isinstance(each, ast.Starred))

    @cached_property
    def ancestors(self) -> "tuple[Ancestor, ...]":
        """The order in which an attribute is looked for, itself first."""
        return self.models.linearize(self)

    @property
    def classes(self) -> "Iterator[ModelClass]":
        """Yield those of the ancestors whose source is known, itself first."""
        for each in self.ancestors:
            if isinstance(each, ModelClass):
                yield each

    @cached_property
    def is_root(self) -> bool:
        """Whether it is a declarative base: here `metadata` and `registry` come from."""
        project = self.models.project
        return any(isinstance(base, External) and library_name(base) in _ROOTS for base in self.bases) or any(
            library_name(project.resolve(each.func if isinstance(each, ast.Call) else each, self._around))
            == "as_declarative"
            for each in self.node.decorator_list
        )

    @property
    def _around(self) -> Scope:
        return self.module.scope_around(self.node)

    @cached_property
    def provider(self) -> int | None:
        """The place among the ancestors of what gives `metadata` and `registry`, None where nothing does."""
        unknown: int | None = None
        for place, each in enumerate(self.ancestors):
            if isinstance(each, GeneratedBase) or (isinstance(each, ModelClass) and each.is_root) or _is_sqlmodel(each):
                return place
            if unknown is None and (
                each is None or (isinstance(each, External) and each.name.partition(".")[0] not in _NEUTRAL)
            ):
                unknown = place
        return unknown if unknown is not None and self._looks_mapped else None

    @cached_property
    def _looks_mapped(self) -> bool:
        return any(name in each.attributes for each in self.classes for name in ("__tablename__", "__table__")) or any(
            attribute.is_mapped for each in self.classes for attribute in each.attributes.values()
        )

    @cached_property
    def is_decorated(self) -> bool:
        """Whether a registry's decorator maps it."""
        for each in self.node.decorator_list:
            function = each.func if isinstance(each, ast.Call) else each
            if library_name(self.models.project.resolve(function, self._around)) in _MAPPING_DECORATORS:
                return True
            if isinstance(function, ast.Attribute) and function.attr in _MAPPING_DECORATORS:
                made = made_by(function.value, self._around, self.models.project)
                if made is not None and called_name(*made, self.models.project) == "registry":
                    return True
        return False

    @property
    def is_declarative(self) -> bool:
        """Whether it is or has a declarative base, or is mapped by a decorator."""
        return self.provider is not None or self.is_decorated

    @cached_property
    def is_sqlmodel(self) -> bool:
        """Whether it is a SQLModel, with a table or without."""
        return any(_is_sqlmodel(each) for each in self.ancestors)

    @cached_property
    def is_mapped(self) -> bool:
        """Whether it has a table."""
        if self.is_sqlmodel:
            return any(each.arg == "table" and is_true(each.value) for each in self.node.keywords)
        abstract = self.attributes.get("__abstract__")
        return self.is_declarative and not self.is_root and not (abstract is not None and is_true(abstract.value))

    @cached_property
    def is_automapped(self) -> bool:
        """Whether its columns come from a database, or from tables that are declared elsewhere."""
        return any(
            (isinstance(each, GeneratedBase) and each.maker == "automap_base")
            or (isinstance(each, External) and library_name(each) == "DeferredReflection")
            for each in self.ancestors
        )

    @cached_property
    def attributes(self) -> dict[str, Attribute]:
        """What its body defines, by name; the last one counts."""
        found: dict[str, Attribute] = {}
        for statement in _statements(self.node.body, self.scope, self.models.project):
            for each in self._read(statement):
                found[each.name] = each
        return found

    def find(self, name: str) -> Attribute | None:
        """Return the attribute that an object of this class would have under ``name``."""
        return next((each.attributes[name] for each in self.classes if name in each.attributes), None)

    def before_provider(self) -> "Iterator[ModelClass]":
        """Yield the classes whose attributes hide `metadata` and `registry`, itself first."""
        limit = self.provider if self.provider is not None else len(self.ancestors)
        for each in self.ancestors[:limit]:
            if isinstance(each, ModelClass):
                yield each

    def _read(self, statement: ast.stmt) -> Iterator[Attribute]:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                kind = self._kind_of_annotated(unquoted(annotation), value)
                yield Attribute(
                    name=name, owner=self, node=statement, kind=kind, annotation=unquoted(annotation), value=value
                )
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        yield Attribute(
                            name=target.id, owner=self, node=statement, kind=self.kind_of(value), value=value
                        )
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Attribute(name=name, owner=self, node=statement, kind=self._kind_of_function(statement))
            case ast.ClassDef(name=name):
                yield Attribute(name=name, owner=self, node=statement, kind="other")
            case _:
                pass

    def _kind_of_annotated(self, annotation: ast.expr | None, value: ast.expr | None) -> Kind:
        outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        symbol = self.models.project.resolve(outer, self.scope)
        is_class_variable = isinstance(symbol, External) and symbol.name.rpartition(".")[2] == "ClassVar"
        if library_name(symbol) in _MAPPED:
            kind = self.kind_of(value) if value is not None else "column"
            return "related" if kind == "related" else "column"
        if value is not None:
            kind = self.kind_of(value)
            if kind in ("other", "unknown") and not is_class_variable and self.is_sqlmodel:
                return "column" if self.is_mapped else "field"
            return kind
        if is_class_variable or library_name(symbol) in _OBJECTS:
            return "annotation"
        return "column" if self.is_sqlmodel and self.is_mapped else "field"

    def kind_of(  # noqa: PLR0911  a case for each kind of value
        self, value: ast.expr | None, scope: Scope | None = None
    ) -> Kind:
        """Tell what an assigned value makes of a name; it stands in the class's body unless another scope is given."""
        project = self.models.project
        made = made_by(value, scope or self.scope, project)
        name = called_name(*made, project) if made is not None else None
        if name in _COLUMNS:
            return "column"
        if name in _RELATED:
            return "related"
        if name in _OBJECTS:
            return "object"
        match value:
            case ast.Constant(value=None):
                return "none"
            case ast.Constant() | ast.Dict() | ast.List() | ast.Tuple() | ast.Set() | ast.Lambda() | ast.JoinedStr():
                return "other"
            case ast.Attribute(value=ast.Attribute(attr="c" | "columns")):
                return "column"
            case _:
                return "unknown"

    def _kind_of_function(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Kind:
        project = self.models.project
        for each in function.decorator_list:
            decorator = each.func if isinstance(each, ast.Call) else each
            name = library_name(project.resolve(decorator, self.scope))
            if name in ("declared_attr", "cascading"):
                kinds = {self.kind_of(value) for value in returned_values(function)}
                return "object" if "object" in kinds else "related" if kinds == {"related"} else "column"
            if name == "directive":
                return "unknown"
            if name == "hybrid_property":
                return "related"
        return "other"


Ancestor = ModelClass | GeneratedBase | External | None


class Models:
    """The classes of a project, each read once."""

    def __init__(self, project: Project) -> None:
        """Nothing is read yet."""
        self.project = project
        self._classes: dict[ast.ClassDef, ModelClass] = {}
        self._orders: dict[ast.ClassDef, tuple[Ancestor, ...]] = {}
        self._visiting: set[ast.ClassDef] = set()

    def classes_in(self, module: Module) -> Iterator[ModelClass]:
        """Yield the classes of a module, wherever in it they stand."""
        if "class " in module.source:
            for node in nodes_of(module).classes:
                yield self.of(node, module)

    def of(self, node: ast.ClassDef, module: Module) -> ModelClass:
        """Return a class by its node."""
        if node not in self._classes:
            self._classes[node] = ModelClass(node, module, self)
        return self._classes[node]

    def named(self, expression: ast.expr | None, scope: Scope) -> ModelClass | None:
        """Return the class that an expression names."""
        symbol = self.project.resolve(expression, scope)
        if isinstance(symbol, Binding) and isinstance(symbol.node, ast.ClassDef):
            return self.of(symbol.node, symbol.scope.module)
        return None

    def users_of(self, mixin: ModelClass) -> Iterator[ModelClass]:
        """Yield the mapped classes of the linted modules that inherit from ``mixin``."""
        for module in self.project.modules:
            if "class " in module.source:
                for each in self.classes_in(module):
                    if each is not mixin and each.is_mapped and mixin in each.ancestors:
                        yield each

    def base(self, expression: ast.expr, scope: Scope) -> Ancestor:
        """Return what a base class is."""
        if isinstance(expression, ast.Subscript):
            expression = expression.value
        if isinstance(expression, ast.Call):
            return self._generated(expression, scope)
        if (
            isinstance(expression, ast.Attribute)
            and expression.attr == "Model"
            and is_flask_sqlalchemy(expression.value, scope, self.project)
        ):
            return GeneratedBase(ast.Call(expression, [], []), scope, "declarative_base")
        symbol = self.project.resolve(expression, scope)
        if isinstance(symbol, External):
            return symbol
        if isinstance(symbol, Binding):
            if isinstance(symbol.node, ast.ClassDef):
                return self.of(symbol.node, symbol.scope.module)
            if isinstance(symbol.value, ast.Call):
                return self._generated(symbol.value, symbol.scope)
        return None

    def _generated(self, call: ast.Call, scope: Scope) -> GeneratedBase | None:
        name = called_name(call, scope, self.project)
        if name in _GENERATORS:
            return GeneratedBase(call, scope, str(name))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "generate_base":
            return GeneratedBase(call, scope, "generate_base")
        return None

    def linearize(self, start: ModelClass) -> tuple[Ancestor, ...]:
        """Return the method resolution order (https://docs.python.org/3/howto/mro.html), as far as it is known."""
        if start.node in self._orders:
            return self._orders[start.node]
        if start.node in self._visiting:
            return (start,)
        self._visiting.add(start.node)
        try:
            lines = [list(self._line(base)) for base in start.bases]
            order: list[Ancestor] = [start, *_merge([*lines, list(start.bases)])]
        finally:
            self._visiting.discard(start.node)
        self._orders[start.node] = tuple(order)
        return self._orders[start.node]

    def _line(self, base: Ancestor) -> tuple[Ancestor, ...]:
        if isinstance(base, ModelClass):
            return self.linearize(base)
        if isinstance(base, GeneratedBase):
            own = keyword(base.call, "cls")
            inner = self.named(own, base.scope) if own is not None else None
            return (base, *(self.linearize(inner) if inner is not None else ()))
        return (base,)


def _merge(lines: list[list[Ancestor]]) -> Iterator[Ancestor]:
    lines = [line for line in lines if line]
    while lines:
        # Where no order is consistent Python would refuse the class; here the first one is taken.
        first = next((line for line in lines if not any(_among(line[0], other[1:]) for other in lines)), lines[0])
        head = first.pop(0)
        yield head
        lines = [[each for each in line if not _same(each, head)] for line in lines]
        lines = [line for line in lines if line]


def _among(one: Ancestor, line: list[Ancestor]) -> bool:
    return any(_same(one, each) for each in line)


def _same(one: Ancestor, other: Ancestor) -> bool:
    if isinstance(one, GeneratedBase) and isinstance(other, GeneratedBase):
        return one.call is other.call
    return one is not None and one == other


def _is_sqlmodel(base: Ancestor) -> bool:
    return isinstance(base, External) and library_name(base) == "SQLModel"


def _statements(body: list[ast.stmt], scope: Scope, project: Project) -> Iterator[ast.stmt]:
    """Yield the statements of a class's body, without those for type checkers alone."""
    for statement in body:
        if isinstance(statement, ast.If):
            test = project.resolve(statement.test, scope)
            if not (isinstance(test, External) and test.name.endswith("TYPE_CHECKING")):
                yield from _statements(statement.body, scope, project)
            yield from _statements(statement.orelse, scope, project)
        elif isinstance(statement, ast.Try):
            yield from _statements([*statement.body, *statement.orelse, *statement.finalbody], scope, project)
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            yield from _statements(statement.body, scope, project)
        else:
            yield statement


@lru_cache(maxsize=2)
def models_of(project: Project) -> Models:
    """Return the classes of a project, the same object each time."""
    return Models(project)
