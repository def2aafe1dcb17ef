"""No migration stalls the application beyond its budget, whatever a revision, a server or a network does."""
