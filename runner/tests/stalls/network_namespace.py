"""A network of a test's own, in which packets can be swallowed as when a node vanishes.

A proxy cannot stand for that: it closes, or keeps open, sockets that the server's kernel still gets answers from.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

_CLONE_NEWNET = 0x40000000
_IPTABLES = "/usr/sbin/iptables"


@contextlib.contextmanager
def network_namespace() -> Iterator[None]:
    """Move this thread, and all processes that it starts, into a network that has nothing but loopback.

    Where that is not possible the test fails in CI, and is skipped elsewhere with the reason.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which(_IPTABLES) or not shutil.which("ip"):
        reason = "a network of its own needs Linux, root, ip and iptables (Debian: apt-get install iproute2 iptables)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            pytest.fail(f"no network namespace could be made: {os.strerror(ctypes.get_errno())}")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(home, _CLONE_NEWNET) == 0
        os.close(home)


def swallow_packets(port: int) -> None:
    """Let nothing pass any more from or to ``port``, and tell nobody."""
    for direction in ("--sport", "--dport"):
        subprocess.run(
            [_IPTABLES, "-A", "INPUT", "-i", "lo", "-p", "tcp", direction, str(port), "-j", "DROP"], check=True
        )
