"""Leaving without a failed request: after SIGTERM, go on serving until load balancers have turned away.

Kubernetes sends SIGTERM while it takes the pod out of its Services, and uvicorn closes its port at once: what
is still routed here would be refused. So the signal reaches uvicorn only `drain_seconds` later. Until then
each response closes its connection, so that clients with a kept-alive one open the next to another pod. Then
uvicorn stops accepting, lets the requests in flight finish, and the lifespan closes the pool.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@contextmanager
def drain_before_exit(app: FastAPI, *, seconds: float) -> Iterator[None]:
    """Hold back the first SIGTERM for ``seconds``; a second one takes effect at once."""
    app.state.draining = False
    stop = signal.getsignal(signal.SIGTERM)
    # Without a server's handler (no server, or one in a thread) there is nothing to hold back.
    if not callable(stop) or threading.current_thread() is not threading.main_thread():
        yield
        return
    exit_now = stop
    loop = asyncio.get_running_loop()

    def begin(signum: int, frame: FrameType | None) -> None:
        if app.state.draining:
            exit_now(signum, frame)
            return
        app.state.draining = True
        loop.call_soon_threadsafe(loop.call_later, seconds, exit_now, signum, None)

    signal.signal(signal.SIGTERM, begin)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)


class CloseConnectionsWhileDraining:
    """Middleware that adds ``Connection: close`` to each response once the process is leaving."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["app"].state.draining:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        # HTTP/2 has no such header.
        is_http1 = scope["type"] == "http" and scope["http_version"].startswith("1")
        await self._app(scope, receive, send_and_close if is_http1 else send)
