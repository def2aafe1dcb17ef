"""Releases on a real cluster, with the real images."""
