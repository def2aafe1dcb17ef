"""The rules on sessions in async code."""
