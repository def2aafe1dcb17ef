"""What the rules on sessions share of one project: inference, and the calls that wait."""

from functools import cached_property

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.sessions.inference import Inference
from sage_migrate.lint.sessions.lazy_reads import LazyReads
from sage_migrate.lint.sessions.waits import Waits

_WORDS = ("sqlalchemy", "sqlmodel", "psycopg", "pg8000", "sqlite3")
_FEW = 20
_ASYNC = ("async def", "litestar", "startup")


class Analysis:
    """Of one project: `project.once(Analysis)`."""

    def __init__(self, project: Project) -> None:
        """Start with nothing known."""
        self.inference = Inference(project)
        self.waits = Waits(self.inference)
        self.lazy_reads = LazyReads(self.inference)
        self._project = project

    @cached_property
    def _is_of_databases(self) -> bool:
        """Whether anything that is linted speaks of a database library; of single files, what they import may."""
        modules = self._project.modules
        return len(modules) < _FEW or any(word in module.source for module in modules for word in _WORDS)

    def concerns(self, module: Module) -> bool:
        """Tell whether a module may do anything with a session in an event loop."""
        return any(word in module.source for word in _ASYNC) and self._is_of_databases
