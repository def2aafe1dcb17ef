"""How big production's tables are, as a file: made with `sage-migrate stats`, read by `lint` and `trace`."""
