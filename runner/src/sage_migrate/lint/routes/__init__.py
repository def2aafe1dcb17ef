"""Where an application's routes, their dependencies and its repositories are."""
