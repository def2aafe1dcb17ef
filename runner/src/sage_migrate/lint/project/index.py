"""A project's modules by file, and what a name or an attribute in one of them means across all."""

import ast
import builtins
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sage_migrate.lint.project.module import Module
from sage_migrate.lint.project.scopes import Binding, Scope

_Analysis = TypeVar("_Analysis")
_LEVELS = 8
_DEPTH = 40
# What rules know by its dotted name. It is never looked for among the project's own files.
LIBRARIES = frozenset(
    (
        *("sqlalchemy", "sqlmodel", "alembic", "asyncpg", "psycopg", "psycopg2", "psycopg_pool", "pg8000", "pydantic"),
        *("fastapi", "starlette", "litestar", "aiohttp", "arq", "taskiq", "faststream", "celery", "anyio"),
        *("asgiref", "typing_extensions", "pytest", "click", "typer"),
    )
)


@dataclass(frozen=True, slots=True)
class External:
    """Something outside of the project, by the dotted name under which it was reached: `sqlalchemy.orm.Session`."""

    name: str


Symbol = Module | Binding | External


class Project:
    """The modules that are linted, and those that they import, each read once."""

    def __init__(self, files: Iterable[Path], asked: Iterable[Path] = (Path(),)) -> None:
        """Index ``files``, found below ``asked``. Nothing is parsed yet."""
        self._asked = [path.absolute() for path in asked if path.is_dir()]
        self._modules: dict[Path, Module | None] = {}
        self._names: dict[Path, frozenset[str]] = {}
        self._found: dict[tuple[str, Path], Module | None] = {}
        self._inside: dict[tuple[Path, str], Module | None] = {}
        self._bases: dict[Binding, tuple[Symbol, ...]] = {}
        self._analyses: dict[object, Any] = {}
        self.modules = tuple(module for path in files if (module := self.module_at(path)) is not None)
        """What is linted."""

    def once(self, analyse: "Callable[[Project], _Analysis]") -> _Analysis:
        """Return what ``analyse`` makes of this project; it is asked once for all modules and rules."""
        if analyse not in self._analyses:
            self._analyses[analyse] = analyse(self)
        found: _Analysis = self._analyses[analyse]
        return found

    def module_at(self, path: Path) -> Module | None:
        """Return the module of a file, None where it cannot be read."""
        key = path.absolute()
        if key not in self._modules:
            above = next((each for each in self._asked if key.is_relative_to(each)), key.parent)
            try:
                self._modules[key] = Module(path, key.parent.relative_to(above).parts)
            except OSError:
                self._modules[key] = None
        return self._modules[key]

    @cached_property
    def _by_name(self) -> dict[str, Module | None]:
        """Dotted names of the linted modules, None where two have the same."""
        named: dict[str, Module | None] = {}
        for module in self.modules:
            named[module.name] = module if module.name not in named else None
        return named

    def find(self, dotted: str, beside: Module, level: int = 0) -> Module | None:
        """Return the module that ``dotted`` (after ``level`` dots) means in the module ``beside``."""
        if level:
            directory = beside.directory
            for _ in range(level - 1):
                directory = directory.parent
            return self._module_in(directory, dotted)
        first = dotted.partition(".")[0]
        if first in sys.stdlib_module_names or first in LIBRARIES:
            return None
        key = (dotted, beside.directory)
        if key not in self._found:
            self._found[key] = self._search(dotted, first, beside)
        return self._found[key]

    def _search(self, dotted: str, first: str, beside: Module) -> Module | None:
        outward = [beside.root, *list(beside.root.parents)[:_LEVELS]]
        inward = [each for each in beside.path.absolute().parents if each.is_relative_to(beside.root)][:-1]
        for directory in (*outward, *reversed(inward)):
            if first in self._names_in(directory):
                found = self._module_in(directory, dotted)
                if found is not None:
                    return found
            if "src" in self._names_in(directory) and first in self._names_in(directory / "src"):
                found = self._module_in(directory / "src", dotted)
                if found is not None:
                    return found
        return self._by_name.get(dotted)

    def _names_in(self, directory: Path) -> frozenset[str]:
        if directory not in self._names:
            try:
                names = frozenset(path.name.removesuffix(".py") for path in directory.iterdir())
            except OSError:
                names = frozenset()
            self._names[directory] = names
        return self._names[directory]

    def _module_in(self, directory: Path, dotted: str) -> Module | None:
        key = (directory, dotted)
        if key not in self._inside:
            self._inside[key] = self._look_in(directory, dotted)
        return self._inside[key]

    def _look_in(self, directory: Path, dotted: str) -> Module | None:
        target = directory.joinpath(*dotted.split(".")) if dotted else directory
        if target.name in self._names_in(target.parent):
            for path in (target / "__init__.py", target.with_name(f"{target.name}.py")):
                if path.is_file():
                    return self.module_at(path)
        return None

    def resolve(  # noqa: PLR0911  a case for each kind of expression
        self, expression: ast.expr | None, scope: Scope, depth: int = 0
    ) -> Symbol | None:
        """Return what a name, an attribute, or a string with such in it, means in ``scope``."""
        if depth > _DEPTH:
            return None
        match expression:
            case ast.Name(id=name):
                bindings = scope.lookup(name)
                if bindings:
                    return self.follow(bindings[-1], depth + 1)
                starred = self._from_stars(scope.module, name, depth + 1)
                if starred is None and hasattr(builtins, name):
                    return External(f"builtins.{name}")
                return starred
            case ast.Attribute(value=value, attr=name):
                base = self.resolve(value, scope, depth + 1)
                return None if base is None else self.member(base, name, depth + 1)
            case ast.Constant(value=str(text)):
                try:
                    return self.resolve(ast.parse(text.strip(), mode="eval").body, scope, depth + 1)
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    return None
            case _:
                return None

    def follow(self, binding: Binding, depth: int = 0) -> Symbol | None:  # noqa: PLR0911  the ways to import
        """Return what a binding leads to through imports and aliases: in the end a definition, or what is outside."""
        if depth > _DEPTH:
            return None
        if binding.kind == "import":
            dotted, name, level = binding.imported
            module = self.find(dotted, binding.scope.module, level)
            if name is None:
                return module or External(dotted)
            if module is binding.scope.module:  # a package's __init__ that imports a module of its own
                return self._module_in(module.directory, name)
            if module is not None:
                return self.member(module, name, depth + 1)
            if level:  # a directory without __init__.py
                return self.find(f"{dotted}.{name}" if dotted else name, binding.scope.module, level)
            return self.find(f"{dotted}.{name}", binding.scope.module) or External(f"{dotted}.{name}")
        if (
            binding.kind == "assigned"
            and not binding.unpacked
            and isinstance(binding.value, (ast.Name, ast.Attribute))
            and not (isinstance(binding.value, ast.Name) and binding.value.id == binding.name)
        ):
            return self.resolve(binding.value, binding.scope, depth + 1) or binding
        return binding

    def member(self, symbol: Symbol, name: str, depth: int = 0) -> Symbol | None:  # noqa: PLR0911  a case for each kind
        """Return an attribute of a module, of a class (its bases included) or of something outside."""
        if depth > _DEPTH:
            return None
        if isinstance(symbol, External):
            return External(f"{symbol.name}.{name}")
        if isinstance(symbol, Module):
            bindings = symbol.scope.bindings.get(name)
            if bindings:
                return self.follow(bindings[-1], depth + 1)
            below = self._module_in(symbol.directory, name) if symbol.is_package else None
            return below or self._from_stars(symbol, name, depth + 1)
        if isinstance(symbol.node, ast.ClassDef):
            bindings = symbol.scope.module.scope_of(symbol.node).bindings.get(name)
            if bindings:
                return self.follow(bindings[-1], depth + 1)
            for found in self.bases(symbol, depth):
                inherited = self.member(found, name, depth + 1) if isinstance(found, Binding) else None
                if inherited is not None:
                    return inherited
        return None

    def bases(self, cls: Binding, depth: int = 0) -> tuple[Symbol, ...]:
        """Return what a class derives from; of `Base[Order]`, the base."""
        if cls not in self._bases:
            self._bases[cls] = ()  # while it is looked for: a class may not derive from itself
            written = cls.node.bases if isinstance(cls.node, ast.ClassDef) else []
            plain = [base.value if isinstance(base, ast.Subscript) else base for base in written]
            found = [self.resolve(base, cls.scope, depth + 1) for base in plain]
            self._bases[cls] = tuple(each for each in found if each is not None and each is not cls)
        return self._bases[cls]

    def _from_stars(self, module: Module, name: str, depth: int) -> Symbol | None:
        if name.startswith("_") or depth > _DEPTH:
            return None
        outside: External | None = None
        for dotted, level in module.scope.stars:
            source = self.find(dotted, module, level)
            found = self.member(source, name, depth + 1) if source is not None and source is not module else None
            if found is not None:
                return found
            if source is None and not level and dotted.partition(".")[0] in LIBRARIES and not hasattr(builtins, name):
                outside = outside or External(f"{dotted}.{name}")
        return outside
