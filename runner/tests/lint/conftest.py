"""Fixtures of the linter's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the corpus's modules: the import mode leaves it out
