"""The user's own Alembic project, unmodified: its configuration, its history, and the URL its env.py is given."""

import argparse
import configparser
import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import CycleDetected, RevisionError, RevisionMap
from alembic.util import CommandError

from sage_migrate.declarations import Declaration, declaration_of
from sage_migrate.errors import GateError, HistoryBrokenError, UsageError
from sage_migrate.settings import Settings

_ASYNC_ENV = re.compile(r"\b(?:async_engine_from_config|create_async_engine|AsyncEngine|AsyncConnection)\b")
_FLASK_ENV = re.compile(r"^\s*from flask import .*\bcurrent_app\b|\bflask\.current_app\b", re.MULTILINE)
_URL_DRIVER = re.compile(r"postgres(?:ql)?\+(\w+)://")
# The dry run that many env.py files have: `with context.begin_transaction() as transaction: … transaction.rollback()`.
_ROLLS_BACK = re.compile(r"begin_transaction\(\)\s+as\s+(\w+)\b.*\b\1\.rollback\(", re.DOTALL)
_DRY_RUN = re.compile(r"dry[-_]?run", re.IGNORECASE)


class Project:
    """Alembic's view of the project, read once and checked."""

    def __init__(self, config: Config, script: ScriptDirectory) -> None:
        """Keep what `load_project` read."""
        self.config = config
        self.script = script
        self.scripts: dict[str, Script] = {}
        self._declarations: dict[str, Declaration] = {}
        self._locations: list[str] | None = None
        self._application: Any = None

    def read_history(self) -> None:
        """Let Alembic read the history through our checks; again where env.py has chosen other version_locations."""
        locations = list(self.script.version_locations or ())
        if locations != self._locations:
            self._locations = locations
            self._declarations.clear()
            vars(self.script).pop("_version_locations", None)  # what Alembic made of the ones before
            self.script.revision_map = RevisionMap(lambda: _checked(self))
            with _as_alembic():
                self.script.get_heads()  # loads it

    def run_env(self) -> None:
        """Run env.py, in the context of its Flask application where it asks for one, as ``flask db`` does.

        Raises:
            UsageError: that application is not to be found.
        """
        with _as_alembic(), self._application_context():
            self.script.run_env()

    def check_dry_run(self) -> None:
        """Refuse an argument that asks env.py to roll back at its end: by then every revision is committed.

        Raises:
            UsageError: nothing was applied yet.
        """
        argument = next(filter(_DRY_RUN.match, getattr(self.config.cmd_opts, "x", None) or ()), None)
        if argument and _ROLLS_BACK.search(self.env_source):
            raise UsageError(
                f"-x {argument} asks env.py to roll everything back at its end, and each revision is committed on its own: "
                "it would stay.",
                remedy="`sage-migrate upgrade --dry-run` prints the plan and its SQL, `sage-migrate trace` runs it on a scratch database.",
            )

    @functools.cached_property
    def env_source(self) -> str:
        """What env.py says."""
        return (Path(self.script.dir) / "env.py").read_text(encoding="utf-8", errors="replace")

    def _application_context(self) -> contextlib.AbstractContextManager[Any]:
        if not _FLASK_ENV.search(self.env_source) or not _installed("flask"):
            return contextlib.nullcontext()
        if importlib.import_module("flask").has_app_context():
            return contextlib.nullcontext()
        self._application = self._application or _load_flask_application()
        context: contextlib.AbstractContextManager[Any] = self._application.app_context()
        return context

    @property
    def heads(self) -> tuple[str, ...]:
        """The revisions that no other revision follows."""
        return tuple(self.script.get_heads())

    def declaration(self, revision: str) -> Declaration:
        """Return what the revision's file declares for the gate."""
        if revision not in self._declarations:
            script = self.scripts[revision]
            self._declarations[revision] = declaration_of(script.module, script.path)
        return self._declarations[revision]

    def resolve(self, target: str) -> tuple[str, ...]:
        """Return the revisions that ``target`` (``head``, ``heads``, ``branch@head``, an id) stands for.

        Raises:
            HistoryBrokenError: ``head`` with several heads, or a revision that does not exist.
        """
        if target == "head" and len(self.heads) > 1:
            msg = f"The history has {len(self.heads)} heads: {', '.join(self.heads)}."
            raise HistoryBrokenError(
                msg,
                remedy="Join them (alembic merge heads), or run `sage-migrate upgrade heads` if they are separate on purpose.",
                facts={"heads": self.heads},
            )
        if target.startswith(("+", "-")) or re.search(r"[+-]\d+$", target):
            return ()  # relative to where the database is: known only in the run
        if target == "base":
            return ()
        try:
            return tuple(each.revision for each in self.script.get_revisions(target) if each is not None)
        except CommandError as error:
            msg = f"The target '{target}' is no revision of this history: {error}."
            raise HistoryBrokenError(msg, remedy="Name a revision that `alembic history` lists.") from error

    def ancestors(self, revisions: Sequence[str]) -> set[str]:
        """Return ``revisions`` and all that they follow or depend on."""
        found: set[str] = set()
        queue = [revision for revision in revisions if revision in self.scripts]
        while queue:
            revision = queue.pop()
            if revision not in found:
                found.add(revision)
                queue.extend(parents_of(self.scripts[revision]))
        return found


def parents_of(script: Script) -> tuple[str, ...]:
    """Return the revisions that ``script`` follows or depends on, branch labels resolved."""
    return (*script._versioned_down_revisions, *script._normalized_resolved_dependencies)  # noqa: SLF001  resolved only there


def load_project(settings: Settings) -> Project:
    """Read configuration and history, and refuse a history that cannot be upgraded.

    Raises:
        UsageError: no script_location, or the directory is missing.
        HistoryBrokenError: a file that does not load, a duplicate or a missing revision, a cycle.
    """
    try:
        config = _read_config(settings)
        beside = settings.config_file.parent.resolve()
        if not _main_option(config, "script_location") and (beside / "env.py").is_file():
            config.set_main_option("script_location", str(beside).replace("%", "%%"))  # as `flask db` does
        script = ScriptDirectory.from_config(config)
    except UsageError:
        raise
    except Exception as error:  # "package:directory" imports the package, which can raise anything
        # What follows in Alembic's and the parser's messages is advice for another moment.
        reason = str(error).partition("\n")[0].partition("  ")[0].rstrip(".")
        if not isinstance(error, (CommandError, KeyError, configparser.Error)):
            reason = f"{type(error).__name__}: {reason}"
        msg = f"{settings.config_file} does not lead to a migration directory: {reason}."
        raise UsageError(
            msg,
            remedy="Set script_location in it, and run in the directory that the path is relative to.",
        ) from error
    if not (Path(script.dir) / "env.py").is_file():
        msg = f"There is no env.py in {script.dir}, which {settings.config_file} names as script_location."
        raise UsageError(
            msg, remedy="Check that the image holds the migrations (COPY) and that the working directory is right."
        )
    project = Project(config, script)
    try:
        project.read_history()
    except GateError:
        raise
    except Exception as error:  # a revision file can raise anything when it is imported
        msg = f"The history in {script.dir} does not load: {_where(error, Path(script.dir))}."
        raise HistoryBrokenError(msg, remedy="Correct the file; `alembic history` shows the same error.") from error
    return project


def env_url(settings: Settings, project: Project) -> str | None:
    """Return the URL for env.py, with a driver that it can use, or None when env.py has its own.

    A driver in the URL stays. Without one it is that of the URL in the configuration file; else what env.py's
    engine needs, as far as its source tells; else the first that is installed.
    """
    url = settings.database_url
    if url is None:
        return None
    if url.driver is not None:
        return url.with_driver(url.driver)
    own = _URL_DRIVER.match(_main_option(project.config, "sqlalchemy.url") or "")
    if own and _installed(own[1]):
        return url.with_driver(own[1])
    source = project.env_source
    preferred = ("asyncpg", "psycopg") if _ASYNC_ENV.search(source) else ("psycopg2", "psycopg")
    return url.with_driver(next((driver for driver in preferred if _installed(driver)), None))


def offer_url(settings: Settings, project: Project) -> None:
    """Give env.py the run's database: as ``sqlalchemy.url``, and as ``DATABASE_URL`` where that is another one.

    The process is the runner's own, so its environment may change; the lock's database and env.py's must be one.
    """
    url = env_url(settings, project)
    if url is None or settings.database_url is None:
        return
    project.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    if settings.database_url.hosts and os.environ.get("DATABASE_URL") != settings.database_url.text:
        os.environ["DATABASE_URL"] = url


@contextlib.contextmanager
def _as_alembic() -> Iterator[None]:
    """Let applications that look at who imports them (``"alembic" in sys.argv[0]``) see what they know."""
    ours = sys.argv[0]
    sys.argv[0] = os.path.join(os.path.dirname(ours), "alembic")  # noqa: PTH118, PTH120  of an empty one too
    try:
        yield
    finally:
        sys.argv[0] = ours


def _read_config(settings: Settings) -> Config:
    options = argparse.Namespace(
        config=str(settings.config_file), name=settings.config_name, x=list(settings.x_arguments) or None,
        raiseerr=True, quiet=False, sql=False, tag=None, revision="head",
    )  # fmt: skip
    pyproject = settings.config_file.with_name("pyproject.toml")
    takes_toml = "toml_file" in inspect.signature(Config.__init__).parameters
    if settings.config_file.name == "pyproject.toml":
        if not takes_toml:
            msg = "Configuration in pyproject.toml needs Alembic 1.16 or newer."
            raise UsageError(msg, remedy="Upgrade Alembic in this image, or write an alembic.ini.")
        return Config(toml_file=str(pyproject), ini_section=settings.config_name, cmd_opts=options)
    if takes_toml and pyproject.is_file():
        return Config(
            str(settings.config_file), toml_file=str(pyproject), ini_section=settings.config_name, cmd_opts=options
        )
    return Config(str(settings.config_file), ini_section=settings.config_name, cmd_opts=options)


def _load_flask_application() -> Any:
    """Return the application that ``flask`` itself would take: FLASK_APP, or wsgi.py or app.py here."""
    flask = importlib.import_module("flask.cli")
    try:
        return flask.ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()
    except flask.NoAppException as error:
        raise UsageError(
            f"env.py wants the context of a Flask application, which was not found: {error}",
            remedy="Set FLASK_APP as for `flask db upgrade` (FLASK_APP='app:create_app').",
        ) from error


def _checked(project: Project) -> Iterator[Script]:
    """Yield the history's files, once it is certain that each id is there, and there once.

    Alembic itself only warns of either, and goes on with one of two files of the same id.
    """
    paths: dict[str, list[str]] = defaultdict(list)
    scripts = list(project.script._load_revisions())  # noqa: SLF001  the only way to see both of two files
    for script in scripts:
        paths[script.revision].append(script.path)
    for revision, twice in paths.items():
        if len(twice) > 1:
            files = [Path(each).name for each in twice]
            msg = f"Revision {revision} is declared by {len(files)} files: {', '.join(sorted(files))}."
            raise HistoryBrokenError(
                msg, remedy="Give one of them an id of its own.", facts={"revision": revision, "files": files}
            )
    labels = {label for script in scripts for label in _named(script, "branch_labels")}
    for script in scripts:
        for parent in (*_named(script, "down_revision"), *_named(script, "depends_on")):
            # Alembic takes a label, label@revision and the beginning of an id for a revision too.
            name = parent.rpartition("@")[2]
            if name in paths or name in labels or any(revision.startswith(name) for revision in paths):
                continue
            msg = f"Revision {script.revision} ({Path(script.path).name}) follows {parent}, which no file declares."
            raise HistoryBrokenError(
                msg,
                remedy="Restore the missing file, or correct down_revision.",
                facts={"revision": script.revision, "missing": parent},
            )
    project.scripts = {script.revision: script for script in scripts}
    yield from scripts


def _named(script: Script, attribute: str) -> tuple[str, ...]:
    """Return what the file itself says, before Alembic resolves it."""
    value = getattr(script.module, attribute, None)
    return () if not value else (value,) if isinstance(value, str) else tuple(value)


def _main_option(config: Config, name: str) -> str | None:
    try:
        return config.get_main_option(name)
    except Exception:  # noqa: BLE001  interpolation of a placeholder that only their env.py fills in
        return None


def _installed(driver: str) -> bool:
    return importlib.util.find_spec(driver.partition("_")[0]) is not None


def _where(error: Exception, directory: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '?').name} line {error.lineno}: {error.msg}"
    if isinstance(error, CycleDetected):
        return f"revisions {', '.join(sorted(error.revisions))} follow each other in a circle"
    if isinstance(error, RevisionError):
        return str(error)
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(directory)
    ]
    last = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}: " if frames else ""
    return f"{last}{type(error).__name__}: {error}"
