"""A service born right: rendered from a template, and updated from it later."""
