"""Run the command line as ``python -m sage_migrate``."""

import sys

from sage_migrate.cli import main

sys.exit(main())
