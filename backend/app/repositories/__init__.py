"""Repositories: the one place where statements are written; none of them commits."""
