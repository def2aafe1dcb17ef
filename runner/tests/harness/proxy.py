"""A TCP proxy on loopback that stands for the network: it can be cut, and it can fall silent."""

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Forward connections to a port of this machine until told otherwise."""

    def __init__(self, port: int) -> None:
        """Listen on a free port."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._closing = self._cutting = self.silent = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        """Start forwarding."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        self._closing = True
        self._thread.join()

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        self._done.clear()
        self._cutting = True
        self._done.wait()

    def _serve(self) -> None:
        while not self._closing:
            if self._cutting:
                for each in list(self._peers):
                    self._reset(each)
                self._cutting = False
                self._done.set()
            for key, _ in self._selector.select(0.01):
                found = key.fileobj
                assert isinstance(found, socket.socket)
                connection: socket.socket = found
                if connection is self._listener:
                    self._accept()
                elif connection in self._peers and not self.silent:
                    self._forward(connection)
        for each in [*self._peers, self._listener]:
            each.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._target))
        self._peers |= {client: server, server: client}
        for connection in (client, server):
            self._selector.register(connection, selectors.EVENT_READ)

    def _forward(self, connection: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = connection.recv(65536)
        peer = self._peers[connection]
        if data:
            with contextlib.suppress(OSError):
                peer.sendall(data)
                return
        self._reset(connection)

    def _reset(self, connection: socket.socket) -> None:
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        del self._peers[peer]
        for each in (connection, peer):
            self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
