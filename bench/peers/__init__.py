"""Linters and guards of others, on this repository's labelled corpora."""
