"""The sample as each release of each recipe: an image that holds them all, and what makes a release run one of them."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.recipes import ROWS, Code, Recipe, read_recipes

from tests.e2e.cluster import Cluster
from tests.e2e.services import BASE, HERE, SAMPLE, Service

TAG = "recipes"
RECIPES = {recipe.table: recipe for recipe in read_recipes()}
BACKEND = HERE.parents[1] / "backend"
# One image, because the layers below are the same for all, and a node takes its time for each.
DOCKERFILE = f"""\
FROM {SAMPLE.name}:{BASE}
COPY releases /releases
CMD ["sh", "-c", "cd /releases/$RELEASE && exec uvicorn app.main:app --host 0.0.0.0 --port 8000"]
"""
CREATE = """
def upgrade() -> None:
{statements}


def downgrade() -> None:
    raise NotImplementedError("there was nothing before")
"""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The code of one release with the revisions of the same or of the next one: releases are counted from 0."""

    recipe: Recipe
    code: int
    history: int

    @property
    def name(self) -> str:
        """Of its directory in the image, and in the pods' environment."""
        return f"{self.recipe.table}-{self.code}-on-{self.history}"

    @property
    def revisions(self) -> dict[str, str]:
        """The modules of the recipe's revisions by name, after those of the sample."""
        return with_first(self.recipe).history(self.history + 1, after=SAMPLE.head)

    @property
    def new_revisions(self) -> list[str]:
        """The names of those that came with the history's last release."""
        return list(self.revisions)[len(with_first(self.recipe).history(self.history)) :]

    @property
    def online(self) -> list[str]:
        """Which of those are online."""
        return [name for name in self.new_revisions if '"online": True' in self.revisions[name]]

    @property
    def head(self) -> str:
        """Where the revisions lead to."""
        return list(self.revisions)[-1]

    @property
    def settings(self) -> tuple[str, ...]:
        """What tells the chart to run it: the application, and the gate with its revisions."""
        environment = [{"name": "DRAIN_SECONDS", "value": "1"}, {"name": "RELEASE", "value": self.name}]
        config = [{"name": "SAGE_MIGRATE_CONFIG", "value": f"/releases/{self.name}/alembic.ini"}]
        return (
            f"--set-json=extraEnv={json.dumps(environment)}",
            f"--set-json=migration.extraEnv={json.dumps(config)}",
            f"--set=migration.online.enabled={json.dumps(bool(self.online))}",
        )


def with_first(recipe: Recipe) -> Recipe:
    """Return a recipe whose first release has a revision too: it makes what the page says was there before."""
    first, *others = recipe.releases
    body = CREATE.format(statements="\n".join(f"    op.execute({statement!r})" for statement in recipe.before))
    return replace(recipe, releases=[replace(first, revisions=(body,)), *others])


def variants(recipe: Recipe) -> list[Variant]:
    """Return each release, and the way back from one that contracts."""
    found = []
    for number, release in enumerate(recipe.releases):
        found.append(Variant(recipe=recipe, code=number, history=number))
        if release.contracts:
            found.append(Variant(recipe=recipe, code=number - 1, history=number))
    return found


def make_recipe_service(cluster: Cluster, directory: Path) -> Service:
    """Build the image, and return the service that the load uses."""
    for recipe in RECIPES.values():
        for variant in variants(recipe):
            write(variant, directory / "releases" / variant.name)
    (directory / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    cluster.build_image(f"{SAMPLE.name}:{TAG}", directory)
    return replace(SAMPLE, things="/things")


def write(variant: Variant, directory: Path) -> None:
    """Write the sample with a variant's code and revisions."""
    for part in ("app", "migrations"):
        shutil.copytree(BACKEND / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BACKEND / "alembic.ini", directory)
    app = directory / "app"
    (app / "main.py").rename(app / "sample.py")
    shutil.copy(HERE / "recipe_service.py", app / "main.py")
    code: Code = variant.recipe.releases[variant.code].code
    (app / "release.json").write_text(json.dumps(asdict(code) | {"rows": ROWS}), encoding="utf-8")
    for name, text in variant.revisions.items():
        (directory / "migrations" / "versions" / f"{name}.py").write_text(text, encoding="utf-8")
