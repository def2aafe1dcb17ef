"""Structured logs: one JSON object a line on stdout, or coloured lines for a person on a terminal."""

import functools
import json
import logging
import sys
from collections import deque
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import structlog

from sage_migrate.progress_line import ProgressLine


class _Events:
    """Our events, whatever env.py does to structlog's own configuration: many import an application that sets its own."""

    def __init__(self) -> None:
        self.as_json = True
        self._stream: Any = sys.stdout
        self.fields: dict[str, object] = {}
        """What every line says besides: in a fleet, whose it is."""
        self._kept: deque[dict[str, Any]] | None = None
        self.progress_line: ProgressLine | None = None
        """On a person's terminal, the line that tells how far a statement is; elsewhere events do."""

    def configure(self, stream: Any, *, as_json: bool) -> None:
        """Write every event as a line of ``stream``, from now on."""
        self.as_json, self._stream, self._kept = as_json, stream, None
        self.progress_line = stream if isinstance(stream, ProgressLine) else None
        for made in ("renderer", "_logger"):
            self.__dict__.pop(made, None)

    def keep(self, events: deque[dict[str, Any]]) -> None:
        """Append every event to ``events`` instead, from now on, for `render`: most are never told, and a line takes longer."""
        self._kept, self.progress_line = events, None

    def render(self, event: dict[str, Any]) -> str:
        """Return the line of an event that was kept."""
        stamped = {**event, "timestamp": event["timestamp"].isoformat().replace("+00:00", "Z")}
        return str(self.renderer(None, event["level"], _put_event_first(None, "", stamped)))

    # Made at the first event, since most commands of review time have none, and structlog takes longer than they do.
    @cached_property
    def renderer(self) -> Any:
        """What turns an event into a line."""
        import structlog

        if self.as_json:
            encode = json.JSONEncoder(default=str).encode  # json.dumps would make an encoder for each event
            return structlog.processors.JSONRenderer(lambda event, **_: encode(event))
        return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())

    @cached_property
    def _logger(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            structlog.PrintLogger(self._stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                lambda _logger, _method, event: {**_put_event_first(_logger, _method, event), **self.fields},
                self.renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            context_class=dict,
            cache_logger_on_first_use=False,
        ).bind()

    def __getattr__(self, level: str) -> Any:
        """Return the logger's method for ``level``."""
        if self._kept is not None:
            return functools.partial(self._keep, level)
        return getattr(self._logger, level)

    def _keep(self, level: str, event: str, /, **fields: Any) -> None:
        assert self._kept is not None
        self._kept.append({**fields, "event": event, "level": level, "timestamp": datetime.now(UTC), **self.fields})


log: Any = _Events()


def configure_logs(log_format: str | None, *, stream: TextIO | None = None) -> None:
    """Send events to ``stream`` (stdout) as ``json`` or for the ``console``; None decides by whether it is a terminal."""
    as_json = log_format == "json" or (log_format is None and not sys.stdout.isatty())
    stream = stream or sys.stdout
    log.configure(stream if as_json or not stream.isatty() else ProgressLine(stream), as_json=as_json)


def adopt_standard_logging() -> None:
    """Give the handlers that env.py installed our format, so that the pod's log stays one JSON object a line.

    env.py usually calls ``logging.config.fileConfig``; which loggers speak, and how loud, stays its choice.
    """
    import structlog

    renderer = log.renderer
    if not isinstance(renderer, structlog.processors.JSONRenderer):
        return
    formatter = _JSONFormatter(renderer)
    loggers = [
        logging.root,
        *(each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)),
    ]
    for logger in loggers:
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setFormatter(formatter)


class _JSONFormatter(logging.Formatter):
    """Render a record of the standard library as an event."""

    def __init__(self, renderer: "structlog.processors.JSONRenderer") -> None:
        super().__init__()
        self._renderer = renderer

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback becomes a field of it."""
        import structlog

        event = {
            "event": "log",
            "logger": record.name,
            "message": record.getMessage(),
            "level": record.levelname.lower(),
            **log.fields,
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", event)
        return str(self._renderer(None, "", dict(_put_event_first(None, "", stamped))))


def _put_event_first(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Put what a person looks for at the start of the line."""
    first: dict[str, Any] = {key: event.pop(key) for key in ("timestamp", "level", "event", "message") if key in event}
    return first | dict(event)
