"""A revision of what the models say and the database does not, with all that a review of it needs."""
