"""What the commands of `review` are told: command line over [tool.sage-migrate.review] over defaults."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage_migrate.errors import UsageError
from sage_migrate.review.elsewhere import KEYS
from sage_migrate.review.entries import FACTS
from sage_migrate.review.locations import Locations, find_locations, read_toml
from sage_migrate.settings import PREFIX, find_config

TABLE = "tool.sage-migrate.review"


@dataclass(frozen=True, kw_only=True)
class ReviewSettings:
    """Paths are absolute."""

    locations: Locations
    docs: Path
    base: str = "origin/main"
    self_review: bool = False
    baseline: tuple[str, ...] = ()
    """Revisions of before the gate was adopted: they and those before them need no review."""
    reviews: Path | None = None
    """A ``reviews.toml``."""
    lint_off: frozenset[str] = frozenset()
    """Rules that the team's lint does not follow either."""
    front_matter: Mapping[str, str] = field(default_factory=dict)
    """Our keys, and what the team's own documents call them."""


def read_review_settings(arguments: argparse.Namespace) -> ReviewSettings:
    """Return the settings of this run.

    Raises:
        UsageError: the project is not found, or a setting cannot be used.
    """
    config = find_config(arguments.config or os.environ.get(f"{PREFIX}CONFIG"))
    locations = find_locations(config, arguments.name)
    given: dict[str, Any] = {
        "docs": "docs/cycles", "base": "origin/main", "self-review": False, "baseline": [], "reviews": "", "front-matter": {},
    }  # fmt: skip
    kinds = {name: type(value) for name, value in given.items()}
    tables = read_toml(locations.directory / "pyproject.toml").get("tool", {}).get("sage-migrate", {})
    table = tables.get("review", {})
    if isinstance(table.get("baseline"), str):
        table["baseline"] = [table["baseline"]]
    for name, value in table.items():
        if name not in kinds:
            raise UsageError(f"[{TABLE}] has no setting {name}.", remedy=f"The settings: {', '.join(sorted(kinds))}.")
        if not isinstance(value, kinds[name]):
            raise UsageError(f"{name} in [{TABLE}] is no {kinds[name].__name__}.", remedy="See docs/review.md.")
    given |= table
    mapping = {key.replace("_", "-"): str(theirs) for key, theirs in given["front-matter"].items()}
    unknown = sorted(set(mapping) - {"revision", *FACTS, *KEYS})
    if unknown or (mapping and "revision" not in mapping):
        raise UsageError(
            f"[{TABLE}.front-matter] maps {', '.join(unknown)}, which is none of ours."
            if unknown
            else f"[{TABLE}.front-matter] does not say which key holds the revision.",
            remedy=f"Map revision, and of {', '.join((*FACTS, *KEYS))} what your documents have.",
        )
    return ReviewSettings(
        locations=locations,
        docs=(locations.directory / given["docs"]).resolve(),
        base=arguments.base or given["base"],
        self_review=given["self-review"],
        baseline=tuple(map(str, given["baseline"])),
        reviews=(locations.directory / given["reviews"]).resolve() if given["reviews"] else None,
        lint_off=frozenset(map(str, tables.get("lint", {}).get("ignore", ()))),
        front_matter=mapping,
    )
