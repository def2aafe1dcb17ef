"""The sample service's migrations under a live application: run ``make demo``."""
