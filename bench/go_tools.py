"""Build the pinned migration tools of Go, once, outside of the repository: bench/tools/go.mod says which versions."""

import functools
import hashlib
import os
import subprocess
from pathlib import Path

MODULE = Path(__file__).parent / "tools"
_PACKAGES = {
    "goose": "github.com/pressly/goose/v3/cmd/goose",
    "migrate": "github.com/golang-migrate/migrate/v4/cmd/migrate",
}
# Only PostgreSQL: the other databases' drivers take minutes to compile.
_TAGS = "pgx5 no_clickhouse no_duckdb no_libsql no_mssql no_mysql no_sqlite3 no_starrocks no_turso no_vertica no_ydb"


@functools.cache
def go_tool(name: str) -> Path:
    """Return where the tool is, built if it is not yet."""
    content = b"".join((MODULE / file).read_bytes() for file in ("go.mod", "go.sum"))
    binary = _cache() / f"bench-{hashlib.sha256(content).hexdigest()[:16]}" / name
    if not binary.exists():
        print(f"building {name}", flush=True)
        binary.parent.mkdir(parents=True, exist_ok=True)
        unfinished = binary.with_suffix(".unfinished")
        subprocess.run(
            ["go", "build", "-trimpath", "-buildvcs=false", "-tags", _TAGS, "-ldflags=-s -w", "-o", unfinished, _PACKAGES[name]],
            cwd=MODULE,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )  # fmt: skip
        unfinished.replace(binary)
    return binary


def _cache() -> Path:
    given = os.environ.get("SAGE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sage-migrate"
