"""backend/ is what `sage-migrate init` renders."""

from tests.scaffold.sample import BACKEND, OWN, read_files, render_sample


def test_the_sample_is_what_init_renders() -> None:
    """File by file; only its history, and what is said of that, is the sample's own."""
    assert OWN == ("migrations/versions/*", "tests/test_history.py", "docs/cycles/*-*.md")
    rendered, sample = render_sample(), read_files(BACKEND)
    assert sorted(sample) == sorted(rendered)
    for name, text in rendered.items():
        assert sample[name].decode() == text.decode(), f"{name}: `make sample` renders it anew"
