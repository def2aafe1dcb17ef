"""What the rules on application code stand on: a project's modules, their scopes, and what a name means across them."""

from sage_migrate.lint.project.index import External, Project, Symbol
from sage_migrate.lint.project.module import Module
from sage_migrate.lint.project.scopes import Binding, Scope

__all__ = ["Binding", "External", "Module", "Project", "Scope", "Symbol"]
