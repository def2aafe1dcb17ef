"""The rules on routes and repositories."""
