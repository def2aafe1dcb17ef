"""A process that has everything imported and forks for each run: a fresh `sage-migrate` without a second of imports.

Started by `harness.command`. A request is one JSON message with three descriptors: stdout, stderr, and a socket on
which the run's pid and, later, its exit status are written.
"""

import contextlib
import importlib
import json
import os
import socket
import sys
import traceback
from typing import Any

_PRELOADED = ("sage_migrate.upgrade", "sage_migrate.cli", "alembic.config", "asyncpg", "psycopg", "psycopg2")


def serve(channel: socket.socket) -> None:
    """Fork for each request until the tests' process is gone."""
    for module in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not message:
            return
        if os.fork() == 0:
            _keep(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _keep(request: dict[str, Any], out: int, err: int, control: int) -> None:
    pid = os.fork()
    if pid == 0:
        os.close(control)
        _run(request, out, err)
    os.write(control, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(control, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(request: dict[str, Any], out: int, err: int) -> None:
    status: object = 1
    try:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = request["command"]
        status = importlib.import_module(sys.argv[0]).main()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001  what the interpreter itself would do
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0 if status is None else 1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
