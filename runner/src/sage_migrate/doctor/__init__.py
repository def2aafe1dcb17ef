"""Read an existing project and its database, and say what would go wrong; nothing is changed."""
