"""Routes: HTTP in, repository calls, HTTP out."""
