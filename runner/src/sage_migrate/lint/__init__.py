"""Static rules: what a migration would do to a live database, told from its source. Needs `sage-migrate[lint]`."""
