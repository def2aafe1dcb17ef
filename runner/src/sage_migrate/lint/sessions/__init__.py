"""How application code uses sessions: which calls are synchronous, who reaches them, what is awaited."""
