"""The files that ``--report`` names: which renderer each one gets, and writing them without hurting the run."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_migrate.logs import log

if TYPE_CHECKING:
    from sage_migrate.timeline.results import Timeline

SUFFIXES = (".json", ".md", ".html")


def parse_report_files(text: str) -> tuple[Path, ...]:
    """Return the files of a comma-separated list.

    Raises:
        ValueError: for a file whose format its name does not tell.
    """
    files = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    for file in files:
        if file.suffix not in SUFFIXES:
            msg = f"'{file}' ends in none of {', '.join(SUFFIXES)}, which tell the report's format"
            raise ValueError(msg)
    return files


def write_report_files(files: Sequence[Path], freeze: Callable[[], "Timeline"]) -> None:
    """Render the timeline into each of ``files``. What goes wrong is logged: the run's result stands."""
    freeze = functools.cache(freeze)
    for file in files:
        try:
            file.write_text(render(freeze(), file.suffix), encoding="utf-8")
        except Exception as error:  # noqa: BLE001  not even a bug in a renderer may change what the run reports
            reason = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
            log.warning(
                "report_not_written",
                path=str(file),
                reason=reason,
                effect="the result of the run stands",
                remedy="name a file in a directory that exists and is writable; in a pod, on a mounted volume",
            )
        else:
            log.info("report_written", path=str(file))


def render(timeline: "Timeline", suffix: str) -> str:
    """Return ``timeline`` in the format that a file's ending names."""
    if suffix == ".json":
        from sage_migrate.timeline.render_json import render_json

        return render_json(timeline)
    if suffix == ".md":
        from sage_migrate.timeline.render_markdown import render_markdown

        return render_markdown(timeline)
    from sage_migrate.timeline.render_html import render_html

    return render_html(timeline)
