"""The rules on what a revision does to a live database."""
