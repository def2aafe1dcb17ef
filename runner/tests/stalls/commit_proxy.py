"""A network that breaks at the worst moment: around the COMMIT of a revision."""

import contextlib
import socket

from harness.proxy import Proxy

BEFORE, UNANSWERED, IN_FLIGHT = "before it is forwarded", "when it is answered", "while the server works on it"


class CommitProxy(Proxy):
    """Cut the migration's connection at its first COMMIT after something of the version table was written.

    Before it is forwarded: nothing can have been committed. When it is answered: it was committed, and the answer is
    lost. While the server works on it: nobody knows yet.
    """

    def __init__(self, port: int, moment: str, *, silent_afterwards: bool = False) -> None:
        """Cut at ``moment``, once; then forward nothing any more, if ``silent_afterwards``."""
        super().__init__(port)
        self._moment, self._silent_afterwards = moment, silent_afterwards
        self._stamped: set[socket.socket] = set()
        self._committing: socket.socket | None = None
        self.has_cut = False

    def _forward(self, connection: socket.socket) -> None:
        if self.has_cut:
            super()._forward(connection)
            return
        data = b""
        with contextlib.suppress(OSError):
            data = connection.recv(65536, socket.MSG_PEEK)
        to_server = connection.getsockname()[1] == self.port
        peer = self._peers[connection]
        if to_server and b" alembic_version" in data and (b"INSERT" in data or b"UPDATE" in data):
            self._stamped.add(connection)
        commits = to_server and connection in self._stamped and b"COMMIT" in data
        if commits and self._moment == BEFORE:
            self._break(connection)
            return
        answered = peer is self._committing
        if answered and self._moment == UNANSWERED:
            self._break(connection)
            return
        super()._forward(connection)
        if commits:
            self._committing = connection
            if self._moment == IN_FLIGHT:
                self._break(connection)

    def _break(self, connection: socket.socket) -> None:
        self.has_cut, self.silent = True, self._silent_afterwards
        self._reset(connection)
