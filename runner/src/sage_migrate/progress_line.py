"""The last line of a terminal, which says how far the statement at work is; the log's lines go above it."""

import io
import shutil
import threading
from typing import TextIO

_ERASE = "\r\x1b[K"
_BAR_WIDTH = 24


class ProgressLine(io.TextIOBase):
    """The terminal as a stream, with a line that is drawn anew and never stays."""

    def __init__(self, terminal: TextIO) -> None:
        """Write to ``terminal``."""
        self._terminal = terminal
        self._shown = ""
        self._begun = ""
        self._one_at_a_time = threading.Lock()

    def write(self, text: str) -> int:
        """Write ``text`` above the line, as soon as it is a whole line."""
        with self._one_at_a_time:
            whole, newline, self._begun = f"{self._begun}{text}".rpartition("\n")
            if newline:
                self._terminal.write(f"{self._erase()}{whole}\n{self._shown}")
        return len(text)

    def flush(self) -> None:
        """Let the terminal have what was written."""
        self._terminal.flush()

    def show(self, line: str) -> None:
        """Draw ``line``, or its beginning where the terminal is narrow, in place of the one before."""
        # What others write to the terminal begins where the cursor is: over the line, not behind it.
        drawn = f"{line[: shutil.get_terminal_size().columns - 1]}\r" if line else ""
        with self._one_at_a_time:
            erase, self._shown = self._erase(), drawn
            self._terminal.write(f"{erase}{drawn}")
            self._terminal.flush()

    def _erase(self) -> str:
        return _ERASE if self._shown else ""


def bar(fraction: float) -> str:
    """Return a bar of which ``fraction`` is filled."""
    filled = int(_BAR_WIDTH * fraction)
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {fraction:4.0%}"
