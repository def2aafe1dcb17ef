"""Answer "nothing to do" without env.py and without SQLAlchemy, where a full run proved what they would say.

Most deploys have nothing to migrate. Which database env.py connects to, and where its version table is, only env.py
knows; so a full run that ended well leaves, in the lineage, a fingerprint of all that its answer depended on: the
migration directory, the configuration, the settings, the environment and the database. Where the same fingerprint is
found again beside a version table that is at the same heads, the answer is the same. In any doubt the full path
answers. Nothing is ever applied here.
"""

import ast
import configparser
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from sage_migrate import __version__
from sage_migrate.gate import Gate
from sage_migrate.interruption import Interruption
from sage_migrate.lineage import parse_lineage
from sage_migrate.logs import log
from sage_migrate.preflight.server import check_pooler, check_server
from sage_migrate.session import Session, connect_by_url
from sage_migrate.settings import PREFIX, Settings

# Kubernetes gives each pod its name and the addresses of all Services; a shell counts its depth. The URL is
# fingerprinted by its parts, so that a rotated password changes nothing.
_VOLATILE = re.compile(
    rf"HOSTNAME|KUBERNETES_\w+|\w+_SERVICE_(?:HOST|PORT)\w*|\w+_PORT(?:_\d+_\w+)?|{PREFIX}\w+|DATABASE_URL(?:_FILE)?|PGPASSWORD"
    r"|_|PWD|OLDPWD|SHLVL|COLUMNS|LINES|TERM\w*|SSH_\w+|PYTEST_\w+"
)
# Options that let revisions lie outside of the migration directory, or be read from something else than source.
_ELSEWHERE = ("version_locations", "sourceless")
_FIND_PROOF = """
SELECT quote_ident(space.nspname) || '.' || quote_ident(class.relname) AS name, note.description AS comment
FROM pg_description AS note JOIN pg_class AS class ON class.oid = note.objoid
JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE note.classoid = 'pg_class'::regclass AND note.objsubid = 0 AND note.description LIKE '%sage-migrate lineage v1: %'
"""


def fingerprint(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return a digest of all that decides what a full run would answer, None where that cannot be told.

    Take it before env.py runs: it may change the environment.
    """
    url, directory = settings.database_url, _script_directory(settings)
    if url is None or directory is None or settings.password_command or not url.database:
        return None
    if not _configures_once(directory / "env.py"):
        return None
    stable = sorted((name, value) for name, value in environment.items() if not _VOLATILE.fullmatch(name))
    digest = hashlib.sha256()
    try:
        for part in (
            repr(
                (__version__, settings.config_name, settings.x_arguments, settings.role, settings.if_ahead, stable)
            ).encode(),
            repr((url.driver, url.user, url.hosts, url.database, sorted(url.query.items()))).encode(),
            settings.config_file.read_bytes(),
            *_files(str(directory)),
        ):
            digest.update(len(part).to_bytes(8) + part)
    except OSError:
        return None
    return digest.hexdigest()[:32]


def heads_without_work(settings: Settings, interruption: Interruption, mark: str | None) -> tuple[str, ...]:
    """Return the heads that the database is proved to be at; none of them: then the full path has to look.

    Raises:
        GateError: the database cannot be reached, or takes no changes, as the full path would say.
    """
    if mark is None:
        return ()
    connect = connect_by_url(settings)
    with Gate(settings, interruption) as gate:
        lock = gate.connect_session(connect, "sage-migrate lock")
        heads = gate.call(_proved_heads(lock, mark))
        if heads:
            watch = gate.connect_session(connect, "sage-migrate watch")
            gate.call(check_server(lock))
            gate.call(check_pooler(lock, watch))
            log.info(
                "at_head", current=heads, proved_by="an earlier run with the same migrations, settings and database"
            )
    return heads


async def _proved_heads(session: Session, mark: str) -> tuple[str, ...]:
    tables = await session.fetch(_FIND_PROOF)
    proofs = [
        (row["name"], lineage.proof) for row in tables if (lineage := parse_lineage(row["comment"])).proof is not None
    ]
    matching = [(name, proof.heads) for name, proof in proofs if proof is not None and proof.fingerprint == mark]
    if len(matching) != 1:
        return ()
    (table, heads), *_ = matching
    rows = await session.fetch(f"SELECT version_num FROM {table}")  # noqa: S608  quoted by the server
    return heads if heads == tuple(sorted(row["version_num"] for row in rows)) else ()


def _configures_once(env: Path) -> bool:
    """Tell whether env.py migrates one version table, as far as its source tells.

    One that loops may go over tenants that only the database knows, and one that configures nothing itself may call what
    does: a new tenant changes nothing that is fingerprinted.
    """
    try:
        nodes = list(ast.walk(ast.parse(env.read_bytes())))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return False
    loops = any(isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.comprehension) for node in nodes)
    return not loops and any(isinstance(node, ast.Attribute) and node.attr == "configure" for node in nodes)


def _files(directory: str, below: str = "") -> Iterator[bytes]:
    """Yield names and contents of all that Alembic may read in ``directory``.

    Raises:
        OSError: also where a directory is a link, since what is behind it may change without it.
    """
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        name = f"{below}/{entry.name}"
        if entry.is_file():
            yield name.encode()
            with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123  of a thousand, Path takes as long again
                yield file.readall()
        elif entry.is_symlink():
            raise OSError
        elif entry.name != "__pycache__":
            yield from _files(entry.path, name)


def _script_directory(settings: Settings) -> Path | None:
    """Return script_location, where the ini names it plainly and no other place adds to it."""
    pyproject = settings.config_file.with_name("pyproject.toml")
    parser = configparser.ConfigParser({"here": str(settings.config_file.parent.resolve())})
    try:
        if pyproject.is_file() and "alembic" in tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {}):
            return None
        parser.read(settings.config_file, encoding="utf-8")
        section = parser[settings.config_name]
        location = section["script_location"]
        if ":" in location or any(section.get(name) for name in _ELSEWHERE):
            return None
    except (OSError, ValueError, KeyError, configparser.Error):
        return None
    return Path(location)
