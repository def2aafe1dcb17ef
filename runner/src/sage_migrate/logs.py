"""Structured logs: one JSON object a line on stdout, or coloured lines for a person on a terminal."""

import json
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TextIO

from sage_migrate.progress_line import ProgressLine

# json.dumps would make an encoder for each event.
_encode = json.JSONEncoder(default=str).encode


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
        self.__dict__.pop("_renderer", None)

    def keep(self, events: deque[dict[str, Any]]) -> None:
        """Append every event to ``events`` instead, from now on, for `render`: most are never told, and a line takes longer."""
        self._kept, self.progress_line = events, None

    def info(self, event: str, /, **fields: Any) -> None:
        """Say what happens."""
        self._tell("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Say what somebody should look at."""
        self._tell("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Say what went wrong."""
        self._tell("error", event, fields)

    def make(self, level: str, event: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Return an event, with what a person looks for at its start."""
        message = {"message": fields.pop("message")} if "message" in fields else {}
        return {"timestamp": datetime.now(UTC), "level": level, "event": event, **message, **fields, **self.fields}

    def render(self, event: dict[str, Any]) -> str:
        """Return the line of an event."""
        stamped = {**event, "timestamp": event["timestamp"].isoformat().replace("+00:00", "Z")}
        # JSON not by structlog: to import it takes longer than what most runs have to say.
        return _encode(stamped) if self.as_json else str(self._renderer(None, event["level"], stamped))

    @cached_property
    def _renderer(self) -> Any:
        import structlog

        return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())

    def _tell(self, level: str, event: str, fields: dict[str, Any]) -> None:
        made = self.make(level, event, fields)
        if self._kept is not None:
            self._kept.append(made)
            return
        self._stream.write(f"{self.render(made)}\n")
        self._stream.flush()


log = _Events()


def configure_logs(log_format: str | None, *, stream: TextIO | None = None) -> None:
    """Send events to ``stream`` (stdout) as ``json`` or for the ``console``; None decides by whether it is a terminal."""
    as_json = log_format == "json" or (log_format is None and not sys.stdout.isatty())
    stream = stream or sys.stdout
    log.configure(stream if as_json or not stream.isatty() else ProgressLine(stream), as_json=as_json)


def adopt_standard_logging() -> None:
    """Give the handlers that env.py installed our format, so that the pod's log stays one JSON object a line.

    env.py usually calls ``logging.config.fileConfig``; which loggers speak, and how loud, stays its choice.
    """
    if not log.as_json:
        return
    formatter = _JSONFormatter()
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

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback becomes a field of it."""
        fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return log.render(log.make(record.levelname.lower(), "log", fields))
