"""The recipes of docs/recipes.md, as their page tells them: what is there before, and each release's revisions and code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs/recipes.md"
_FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(kw_only=True)
class RecipeRelease:
    """One release: the modules of its revisions, then the statements of its code."""

    revisions: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Recipe:
    """One change; the first release is the code that is there before."""

    title: str
    before: str = ""
    releases: list[RecipeRelease] = field(default_factory=lambda: [RecipeRelease()])


def read_recipes() -> Iterator[Recipe]:
    """Yield each recipe of the page."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        recipe = Recipe(title=section.partition("\n")[0])
        for language, what, text in _FENCE.findall(section):
            if what == "before":
                recipe.before = text
            elif language == "python":
                recipe.releases[-1].revisions.append(text)
            else:
                recipe.releases[-1].code = [each.strip() for each in text.split(";\n") if each.strip()]
                recipe.releases.append(RecipeRelease())
        assert not recipe.releases.pop().revisions, f"{recipe.title}: revisions without a release's code"
        yield recipe
