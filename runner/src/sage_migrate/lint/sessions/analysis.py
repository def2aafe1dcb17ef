"""What the rules on sessions share of one project: inference, and the calls that wait."""

from functools import cached_property

from sage_migrate.lint.project import Module, Project
from sage_migrate.lint.sessions.inference import Inference
from sage_migrate.lint.sessions.lazy_reads import LazyReads
from sage_migrate.lint.sessions.waits import Waits

_WORDS = ("sqlalchemy", "sqlmodel", "psycopg", "pg8000", "sqlite3")
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
    def is_of_databases(self) -> bool:
        """Whether anything in the project speaks of a database library."""
        return any(word in module.source for module in self._project.modules for word in _WORDS)

    def concerns(self, module: Module) -> bool:
        """Tell whether a module may do anything with a session in an event loop."""
        if not any(word in module.source for word in _ASYNC):
            return False
        return self.is_of_databases or any(word in module.source for word in ("import", "from "))
