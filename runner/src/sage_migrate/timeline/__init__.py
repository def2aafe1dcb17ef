"""What a run did over time, and what it cost others: recorded with ``--report FILE``, and rendered at its end."""
