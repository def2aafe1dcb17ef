"""Fixtures: a service in a repository of its own for each test, and the command line in it."""

import pytest

from review.service import Reviews, Service, copy_service, make_service


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Make the repository that the others are copies of."""
    return make_service(tmp_path_factory.mktemp("template") / "service")


@pytest.fixture
def service(template: Service, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Offer a repository on a branch for work."""
    return copy_service(template, tmp_path_factory.mktemp("review") / "service")


@pytest.fixture
def reviews(service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reviews:
    """Offer `sage-migrate review` in the service's directory."""
    return Reviews(service, monkeypatch, capsys)
