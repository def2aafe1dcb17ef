"""Tests that cross the parts: the charts by what Helm renders, and everything on a cluster."""
