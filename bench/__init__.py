"""Side by side with other migration tools, under a live application: run ``python -m bench.gate`` at the repository's top."""
