"""Forty pull requests in a real repository: those that may land are let through, the others refused for the right reason."""

import pytest

from review.pull_requests import BAD, GOOD, PullRequest
from review.service import Reviews, Service


@pytest.mark.parametrize("pull_request", GOOD, ids=lambda each: each.__name__)
def test_good_pull_request_is_let_through(pull_request: PullRequest, service: Service, reviews: Reviews) -> None:
    """Nothing is found in what may land."""
    pull_request(service, reviews)
    assert reviews.check() == []


@pytest.mark.parametrize(
    ("pull_request", "codes"), BAD, ids=lambda each: each.__name__ if callable(each) else "-".join(each)
)
def test_bad_pull_request_is_refused(
    pull_request: PullRequest, codes: tuple[str, ...], service: Service, reviews: Reviews
) -> None:
    """Exactly what is wrong is found."""
    pull_request(service, reviews)
    assert tuple(sorted(each.code for each in reviews.check())) == codes


def test_there_are_twenty_of_each() -> None:
    """The promise is forty."""
    assert (len(GOOD), len(BAD)) == (20, 20)
