"""Whether the release that still serves goes on working: what it says to the database, said again after each revision."""
