"""Structured logs: one JSON object a line on stdout, or coloured lines for a person on a terminal."""

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TextIO

from sage_migrate.progress_line import ProgressLine


class _Events:
    """Our events, whatever env.py does to structlog's own configuration: many import an application that sets its own."""

    def __init__(self) -> None:
        self.as_json = True
        self._stream: Any = sys.stdout
        self._one_at_a_time = threading.Lock()
        self.fields: dict[str, object] = {}
        """What every line says besides: in a fleet, whose it is."""
        self.progress_line: ProgressLine | None = None
        """On a person's terminal, the line that tells how far a statement is; elsewhere events do."""

    def configure(self, stream: Any, *, as_json: bool) -> None:
        """Write every event as a line of ``stream``, from now on."""
        self.as_json, self._stream = as_json, stream
        self.progress_line = stream if isinstance(stream, ProgressLine) else None
        self.__dict__.pop("_render", None)

    def info(self, event: str, /, **fields: object) -> None:
        """Tell what goes as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell what somebody should look at."""
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Tell what ended short."""
        self._write("error", event, fields)

    def line(self, level: str, event: str, fields: dict[str, object]) -> str:
        """Return an event as a line, with what a person looks for at its start."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        first: dict[str, object] = {"timestamp": now, "level": level, "event": event}
        if "message" in fields:
            first["message"] = None  # in its place; the value comes with the others
        return self._render(first | fields | self.fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = self.line(level, event, fields)
        with self._one_at_a_time:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    @cached_property
    def _render(self) -> Callable[[dict[str, object]], str]:
        if self.as_json:
            return json.JSONEncoder(default=str).encode  # json.dumps would make an encoder for each event
        import structlog  # for a person alone: it is a tenth of what a run with nothing to do takes

        console = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
        return lambda event: str(console(None, "", event))


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
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return log.line(record.levelname.lower(), "log", fields)
