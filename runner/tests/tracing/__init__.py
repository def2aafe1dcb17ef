"""Tests of `sage-migrate trace`."""
