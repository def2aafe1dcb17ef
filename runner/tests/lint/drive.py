"""Runs labelled modules over ASGI on a real server, and tells what each of them did there.

Run as a program of its own: what an unsafe module leaves behind (threads, open connections, coroutines that nobody
awaited) ends with it. Arguments: the database's URL, and the share of the corpus to run, as in ``0/2``. Prints JSON.
"""

import asyncio
import gc
import importlib
import json
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psycopg
import psycopg2  # type: ignore[import-untyped]
from labelled_modules import LabelledModule, read_corpus
from session_corpus.models import Base, Item, Order, User
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, InvalidRequestError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import Pool

LAZY = "lazy"
"""What rules SM304 and SM305 tell apart, and the server does not."""
_TIMEOUT_SECONDS = 60
_REQUEST: ContextVar[object] = ContextVar("request", default=None)
_PLACES = {
    "postgresql+psycopg://localhost/shop": "postgresql+psycopg",
    "postgresql+psycopg2://localhost/shop": "postgresql+psycopg2",
    "postgresql+asyncpg://localhost/shop": "postgresql+asyncpg",
    "postgresql://localhost/shop": "postgresql",
}


class Watch:
    """Notes what a module does to its event loop and its sessions."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.seen: set[str] = set()
        self.engines: set[Engine] = set()
        self._held: dict[int, object] = {}
        self._users: dict[int, set[object]] = {}
        self._closed: set[int] = set()
        self._kept: list[object] = []

    def waits(self, *, is_async: bool = False) -> None:
        """Note that a synchronous library waits, in whatever thread this is."""
        if not is_async and asyncio._get_running_loop() is not None:
            self.seen.add("SM301")

    def uses(self, session: object, *, closes: bool) -> None:
        """Note that the current task uses an AsyncSession or AsyncConnection: two tasks, or one after it was closed, share it."""
        self._kept.append(session)  # or its id might be another one's
        self._users.setdefault(id(session), set()).add(asyncio.current_task())
        if not closes and (len(self._users[id(session)]) > 1 or id(session) in self._closed):
            self.seen.add("SM303")
        if closes:
            self._closed.add(id(session))

    def fails(self, error: BaseException) -> None:
        """Note an error that a request ended in, or one of those that it was made of."""
        said = f"{type(error).__name__}: {error}"
        if (
            isinstance(error, (MissingGreenlet, DetachedInstanceError))
            or "greenlet_spawn" in said
            or "DetachedInstance" in said
        ):
            self.seen.add(LAZY)
        elif isinstance(error, (TypeError, AttributeError)):
            self.seen.add("SM302")
        elif isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                self.fails(each)
        elif isinstance(error, (InvalidRequestError, DBAPIError)):
            if "SM303" not in self.seen:
                self.seen.add(said)
        else:
            self.seen.add(said)

    @contextmanager
    def watching(self) -> Iterator[None]:  # noqa: C901  each listener is one
        """Listen to every engine, pool, driver and AsyncSession of this process."""
        undo: list[Callable[[], None]] = []

        def listen(target: Any, name: str, function: Callable[..., None]) -> None:
            event.listen(target, name, function)
            undo.append(lambda: event.remove(target, name, function))

        def patch(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
            original = getattr(owner, name)
            setattr(owner, name, make(original))
            undo.append(lambda: setattr(owner, name, original))

        def connects(original: Any) -> Any:
            def connect(*args: Any, **kwargs: Any) -> Any:
                self.waits()
                return original(*args, **kwargs)

            return connect

        def session_method(name: str) -> Callable[[Any], Any]:
            def make(original: Any) -> Any:
                async def method(session: Any, *args: Any, **kwargs: Any) -> Any:
                    self.uses(session, closes=name == "close")
                    return await original(session, *args, **kwargs)

                return method

            return make

        listen(Engine, "before_cursor_execute", lambda c, *_: self.waits(is_async=c.dialect.is_async))
        for name in ("commit", "rollback"):
            listen(Engine, name, lambda c: self.waits(is_async=c.dialect.is_async))
        listen(Engine, "engine_connect", lambda c: self.engines.add(c.engine))
        listen(Pool, "checkout", self._checked_out)
        listen(Pool, "checkin", self._checked_in)
        for owner, name in ((psycopg, "connect"), (psycopg2, "connect"), (sqlite3, "connect")):
            patch(owner, name, connects)
        for name in ("execute", "scalar", "scalars", "stream", "get", "commit", "flush", "refresh", "close"):
            patch(AsyncSession, name, session_method(name))
        patch(AsyncConnection, "execute", session_method("execute"))
        try:
            yield
        finally:
            for each in undo:
                each()

    def _checked_out(self, connection: Any, *_: object) -> None:
        self._held[id(connection)] = _REQUEST.get()
        self.waits(is_async=type(connection).__name__.startswith("AsyncAdapt"))

    def _checked_in(self, connection: Any, *_: object) -> None:
        self._held.pop(id(connection), None)

    def sends(self) -> None:
        """Note that the client has to take something, or to say something, before the module can go on."""
        if _REQUEST.get() in self._held.values():
            self.seen.add("SM306")


async def drive(app: Any, requests: tuple[str, ...], watch: Watch) -> None:  # noqa: C901  one conversation
    """Start an application, send it each request twice at the same time, and shut it down."""
    started, stop = asyncio.Event(), asyncio.Event()
    steps = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, Any]:
        for step in steps:
            return step
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"].endswith("failed"):
            watch.seen.add(message.get("message", "failed"))
        started.set()

    async def live() -> None:
        try:
            await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        except Exception as error:  # noqa: BLE001  whatever it is, it is noted
            if not isinstance(error, (AssertionError, KeyError)):  # no lifespan here
                watch.fails(error)
        finally:
            started.set()

    life = asyncio.create_task(live())
    await started.wait()
    for each in requests:
        method, _, path = each.partition(" ")
        one = _chat if method == "WS" else _request
        done = await asyncio.gather(*(one(app, method, path, watch) for _ in range(2)), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                watch.fails(error)
    for _ in range(50):
        await asyncio.sleep(0)
    stop.set()
    await life


def _scope(kind: str, path: str) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
        "subprotocols": [],
    }


async def _request(app: Any, method: str, path: str, watch: Watch) -> None:
    _REQUEST.set(object())
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(_TIMEOUT_SECONDS)
        sent = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] in {404, 405, 422}:
            watch.seen.add(f"{method} {path} is answered {message['status']}")
        if message["type"] == "http.response.body" and message.get("body") and message.get("more_body"):
            watch.sends()

    await app({**_scope("http", path), "method": method}, receive, send)


async def _chat(app: Any, _method: str, path: str, watch: Watch) -> None:
    _REQUEST.set(object())
    said = iter(
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.receive", "text": "again"},
        ]
    )

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        for message in said:
            if message["type"] == "websocket.receive":
                watch.sends()
            return message
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        pass

    await app(_scope("websocket", path), receive, send)


async def _run(app: Any, requests: tuple[str, ...], watch: Watch) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await drive(app, requests, watch)
    except TimeoutError:
        watch.seen.add("it takes too long")
    finally:
        for engine in watch.engines:
            if engine.dialect.is_async:
                await AsyncEngine(engine).dispose()


def observe(case: LabelledModule, url: str) -> set[str]:
    """Return the codes of what a module was seen to do, and whatever else went wrong."""
    from sqlalchemy.engine import make_url

    watch = Watch()
    source = case.source
    for place, driver in _PLACES.items():
        own = make_url(url).set(drivername=driver).render_as_string(hide_password=False)
        source = source.replace(f'"{place}"', repr(own))
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        LabelledModule(name=case.name, codes=case.codes, requests=case.requests, source=source).write(Path(directory))
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
        try:
            app = importlib.import_module("app.main").app
            with watch.watching():
                asyncio.run(_run(app, case.requests, watch))
                del app
        finally:
            sys.path.remove(directory)
            for name in [each for each in sys.modules if each == "app" or each.startswith("app.")]:
                del sys.modules[name]
        for engine in watch.engines:
            if not engine.dialect.is_async:
                engine.dispose()
        gc.collect()
    if any("was never awaited" in str(each.message) for each in warned):
        watch.seen.add("SM302")
    return watch.seen


# An application whose loop ended under it may leave a transaction open, behind which the next one's tables would wait for ever.
_END_WHAT_IS_LEFT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
)


def observe_all(
    url: str, cases: Iterable[LabelledModule], around: Callable[[], AbstractContextManager[object]] = nullcontext
) -> dict[str, list[str]]:
    """Return what each application that can run was seen to do, within ``around``, on freshly filled tables."""
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    gc.freeze()  # what is imported stays: no collection has to look at it
    seen = {}
    for case in cases:
        if not case.requests:
            continue
        with Session(engine) as session, session.begin():
            session.execute(text(_END_WHAT_IS_LEFT))
            session.execute(text("TRUNCATE users, orders, items RESTART IDENTITY"))
            for name in ("a", "b"):
                user = User(email=f"{name}@shop.example", name=name, biography="…")
                user.orders.append(Order(total=1, items=[Item(name="pen")]))
                session.add(user)
        with redirect_stdout(sys.stderr), around():  # ours is for the answer
            seen[case.name] = sorted(observe(case, url))
    engine.dispose()
    return seen


def main() -> None:
    """Run a share of the corpus."""
    url, share = sys.argv[1:]
    position, _, of = share.partition("/")
    cases = list(read_corpus("session_corpus"))[int(position) :: int(of)]
    sys.stdout.write(json.dumps(observe_all(url, cases)))


if __name__ == "__main__":
    main()
