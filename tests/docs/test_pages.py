"""What the pages name is there: files, headings, make targets, tests, options, values."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sage_migrate.fleet.options import FLEET_OPTIONS
from sage_migrate.settings import OPTIONS

from tests.docs.pages import DOCS, README, REPOSITORY, anchors, fences, pages, prose

CHART = REPOSITORY / "charts" / "migration-gate"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SOURCE = REPOSITORY / "runner" / "src" / "sage_migrate"
# A short page for people, not a reference: everything in it is elsewhere at length.
README_LINES = 130


def by_name(path: Path) -> str:
    """Name a test after its page."""
    return str(path.relative_to(REPOSITORY))


def test_generated_pages_are_up_to_date() -> None:
    """Settings, commands and exit statuses are what the source says."""
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file of the repository, and to a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", pages(), ids=by_name)
def test_make_targets_exist(page: Path) -> None:
    """A command that a page tells to run is one of the Makefile's."""
    targets = set(re.findall(r"^([a-z0-9]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    told = [*fences(page, "console"), *fences(page, "sh"), *re.findall(r"`([^`]+)`", prose(page))]
    lines = [line.split("#")[0] for code in told for line in code.splitlines()]
    assert {target for line in lines for target in re.findall(r"\bmake ([a-z0-9]+)\b", line)} <= targets


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=by_name)
def test_values_exist_in_the_chart(page: Path) -> None:
    """`migration.deadline` on a page is a value of the chart."""
    for path in re.findall(r"\bmigration\.([a-z]\w*(?:\.\w+)*)", page.read_text()):
        assert _is_value(path), path


def test_values_that_messages_name_exist_in_the_chart() -> None:
    """A message that tells to set a value tells one that there is."""
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    named = set(re.findall(r"Helm:? migration\.([a-z]\w*(?:\.\w+)*)", text))
    assert named, "no message names a value: is the pattern still right?"
    assert {path for path in named if not _is_value(path)} == set()


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=by_name)
def test_options_and_variables_exist(page: Path) -> None:
    """A page names no option and no variable that the command line does not have."""
    text = page.read_text()
    options = {f"--{option.name}" for option in (*OPTIONS, *FLEET_OPTIONS)}
    options |= {"--terminate-idle-", "--timeout", "--app-role", "--revision-timeout"}
    alike = "timeout|budget|deadline|idle|ahead|locked|phase|role|password|literals|observe"
    named = set(re.findall(r"(?<![\w-])--(?!env\b)[a-z-]+", text))
    assert {each for each in named if re.search(alike, each)} <= options
    variables = {option.variable for option in (*OPTIONS, *FLEET_OPTIONS)} | {
        f"SAGE_MIGRATE_{name}" for name in ("DATABASE_URL", "CONFIG", "LOG_FORMAT")
    }
    assert set(re.findall(r"SAGE_MIGRATE_[A-Z_]+[A-Z]", text)) <= variables


def test_tests_that_the_readme_names_exist() -> None:
    """A promise names the test that would fail if it were broken: file and function."""
    named = re.findall(r"`((?:[\w-]+/)+\w+\.py)(?:::(\w+))?`", README.read_text())
    assert named
    for path, function in named:
        assert (REPOSITORY / path).exists(), path
        if function:
            assert re.search(rf"^(async )?def {function}\(", (REPOSITORY / path).read_text(), re.MULTILINE), function


def test_readme_shows_the_charts_own_lines() -> None:
    """The lines to add are those that tests/chart renders with Helm 3 and 4, and at most ten."""
    shown = fences(README, "yaml")[:2]
    tested = fences(CHART / "README.md", "yaml")[:2]
    assert [yaml.safe_load(block) for block in shown] == [yaml.safe_load(block) for block in tested]
    assert sum(len(block.splitlines()) for block in shown) - 1 <= 10, "`dependencies:` is there in most charts"


def test_failed_release_is_a_real_one() -> None:
    """What the README shows, between its ellipses, stands so and in this order in the recorded output."""
    (shown,) = fences(README, "text")
    recorded = " ".join((DOCS / "failed-upgrade.txt").read_text().split())
    for piece in shown.split("…"):
        text = " ".join(piece.split()).removeprefix(",").removesuffix("{").strip()
        assert text in recorded, text
        recorded = recorded[recorded.index(text) + len(text) :]


def test_readme_says_what_is_built() -> None:
    """The commands that are there, no more and no fewer."""
    readme = " ".join(README.read_text().split())
    (built,) = re.findall(r"Built: ([^.]*)\.", readme)
    there = set(re.findall(r"^\| `([a-z]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", built)) == there


def test_versions_of_controllers_are_those_that_were_run() -> None:
    """Whoever pins another one says so on the page, and at the mode that is made for a fault of one."""
    pinned = (REPOSITORY / "ci" / "tools" / "gitops" / "go.mod").read_text()
    controllers = ("fluxcd/source-controller", "fluxcd/helm-controller", "argoproj/argo-cd/v3")
    source, helm, argocd = (re.findall(rf"github.com/{each} v(\S+)", pinned)[0] for each in controllers)
    page = (DOCS / "operations.md").read_text()
    assert f"| Flux: source-controller {source}, helm-controller {helm} |" in page
    assert f"| Argo CD {argocd}: application controller and repository server |" in page
    assert f"(seen in {helm})" in (CHART / "README.md").read_text()


def test_readme_is_short() -> None:
    """Two screens."""
    assert len(README.read_text().splitlines()) <= README_LINES


def _is_value(path: str) -> bool:
    value: object = VALUES
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
