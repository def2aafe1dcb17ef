"""The documentation says what the source does."""
