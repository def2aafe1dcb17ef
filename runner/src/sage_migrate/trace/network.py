"""Refuse what a revision says to the network, and remember whom it called."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

from sage_migrate.database_url import DatabaseURL

_watching: list["_Calls"] = []
_installed: list[bool] = []


class NetworkRefusedError(OSError):
    """A revision calls the network while it is traced."""


class _Calls:
    def __init__(self, url: DatabaseURL) -> None:
        hosts = [host.rpartition(":")[0] or host for host in url.hosts.split(",")]
        self.allowed = {host.strip("[]") for host in hosts} | {"127.0.0.1", "::1", "localhost"}
        for host in list(self.allowed):
            with contextlib.suppress(OSError):
                self.allowed |= {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
        self.made: set[str] = set()


@contextlib.contextmanager
def watch_network(url: DatabaseURL, *, allowed: bool = False) -> Iterator[set[str]]:
    """Refuse connections to anything but this machine and the scratch server, unless ``allowed``; yield who was called."""
    if allowed:
        yield set()
        return
    if not _installed:
        # An audit hook stays until the process ends: one for all.
        sys.addaudithook(_hear)
        _installed.append(True)
    calls = _Calls(url)
    _watching.append(calls)
    try:
        yield calls.made
    finally:
        _watching.remove(calls)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        return
    address = arguments[1] if event == "socket.connect" else arguments[0]
    host = address[0] if isinstance(address, tuple) else None  # a path is a socket of this machine
    if event != "socket.connect":
        host = address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    calls = _watching[-1]
    if not isinstance(host, str) or not host or host in calls.allowed:
        return
    calls.made.add(host)
    msg = f"trace refuses a call to {host}"
    raise NetworkRefusedError(msg)
