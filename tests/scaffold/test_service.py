"""A new service as `sage-migrate init` leaves it, in the environment of these tests: linted, migrated, tested, served."""

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from sage_migrate import cli
from sage_migrate.scratch_server import free_port

# Another one than the sample: no owner, two words, GitLab.
ANSWERS = ("name=order-intake", "package=intake", "model=LineItem", "ci=gitlab", "pool_size=3")
# Those of its tests that differ from the sample's, which `make test` runs; of many values for one test, the sample's do.
TESTS = ("line_items", "list_query", "migrations", "openapi", "transactions")
ONCE = "not stored and not bounds and not paging_shows and not no_page_returned"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a new service, whose environment is that of these tests."""
    directory = tmp_path_factory.mktemp("service") / "intake"
    assert cli.main(["init", str(directory), "--defaults", *(f"--data={answer}" for answer in ANSWERS)]) == 0
    environment = directory / ".venv"
    environment.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    (environment / "made").touch()
    return directory


def make(service: Path, *arguments: str) -> str:
    """Run make there, as its people do."""
    environment = os.environ | {"PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ("make", *arguments), cwd=service, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_style_types_and_migrations_are_clean(service: Path) -> None:
    """Ruff with all its rules, mypy strict, and the gate's own rules."""
    make(service, "lint")


def test_its_own_tests_pass(service: Path) -> None:
    """On a PostgreSQL of theirs; they also compare the models with the migrations, as `alembic check` does."""
    tests = [f"tests/test_{name}.py" for name in TESTS]
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-k", ONCE, *tests),
        cwd=service,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_names_in_another_order_than_the_samples(tmp_path: Path) -> None:
    """What is sorted in the sample (imports, operations) is sorted in a service whose names sort otherwise."""
    directory = tmp_path / "orders"
    answers = ("--data=model=Order", "--data=owner=Customer", "--data=repository=no")
    assert cli.main(["init", str(directory), "--defaults", *answers]) == 0
    for command in (("ruff", "check", "--quiet", "."), ("pytest", "-q", "tests/test_openapi.py", "-k", "not served")):
        done = subprocess.run(
            (sys.executable, "-m", *command), cwd=directory, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


@pytest.fixture
def served(service: Path) -> Iterator[str]:
    """Give the address at which `make up` serves."""
    port = free_port()
    process = subprocess.Popen(
        ("make", "up", f"PORT={port}"), cwd=service, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_one_command_migrates_and_serves(served: str) -> None:
    """The gate has migrated before the first request, so the service is ready."""
    with httpx.Client(base_url=served, transport=httpx.HTTPTransport(retries=8)) as client:
        assert client.get("/readyz", timeout=60).json() == {"status": "ready", "reason": None}
        created = client.post("/line_items", json={"title": "Hello"})
        assert created.status_code == httpx.codes.CREATED
        assert client.get("/line_items").json()["items"] == [created.json()]


def test_what_is_not_python_is_yaml(service: Path) -> None:
    """Pipelines, hooks, compose file and the chart's values; Helm renders the chart in tests/chart."""
    files = [
        *service.glob("*.y*ml"),
        *service.glob(".git*/*.yml"),
        *service.glob(".*.y*ml"),
        *service.glob("chart/*.yaml"),
    ]
    assert {file.name for file in files} == {
        ".copier-answers.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml", "Chart.yaml", "compose.yaml", "migrations.yml",
        "values.yaml",
    }  # fmt: skip
    assert all(yaml.safe_load(file.read_text()) for file in files)
