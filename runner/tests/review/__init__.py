"""Tests of the cycle-doc gate."""
